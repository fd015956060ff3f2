/* Prints the processor time of a domain in nanoseconds. Usage: domtime DOMID */
#include <stdio.h>
#include <stdlib.h>
#include <xenctrl.h>

int main(int argc, char **argv)
{
    xc_domaininfo_t info;
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);

    if (argc != 2 || !xch || xc_domain_getinfo_single(xch, atoi(argv[1]), &info) < 0) {
        fprintf(stderr, "usage: domtime DOMID (of a domain that exists)\n");
        return 1;
    }
    printf("%llu\n", (unsigned long long)info.cpu_time);
    return 0;
}
