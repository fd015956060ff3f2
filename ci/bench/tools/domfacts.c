/* Prints the processor time of a domain in nanoseconds, and how many pages it has. Usage: domfacts DOMID */
#include <stdio.h>
#include <stdlib.h>
#include <xenctrl.h>

int main(int argc, char **argv)
{
    xc_domaininfo_t info;
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);

    if (argc != 2 || !xch || xc_domain_getinfo_single(xch, atoi(argv[1]), &info) < 0) {
        fprintf(stderr, "usage: domfacts DOMID (of a domain that exists)\n");
        return 1;
    }
    printf("%llu %llu\n", (unsigned long long)info.cpu_time, (unsigned long long)info.tot_pages);
    return 0;
}
