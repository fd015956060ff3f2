/* offline COMMAND FRAME: what Xen is told, or says, of a frame of memory that is to go offline. COMMAND is offline, online or
 * query. xen-hptool would have the domain suspended whose frame it is. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { SYSCTL = 35, INTERFACE_VERSION = 0x15, PAGE_OFFLINE_OP = 14 };

int main(int argc, char **argv)
{
    static const char *const commands[] = { NULL, "offline", "online", "query" };
    /* struct xen_sysctl, xen_sysctl_page_offline_op. */
    static struct { uint32_t cmd, version, command, start, end, pad; uint64_t status, rest[15]; }
        sysctl = { PAGE_OFFLINE_OP, INTERFACE_VERSION };
    static uint32_t status;
    /* struct privcmd_hypercall */
    struct { uint64_t op, arguments[5]; } call = { SYSCTL, { (uintptr_t)&sysctl } };
    int fd = open("/dev/xen/privcmd", O_RDWR);

    for (unsigned int i = 1; argc == 3 && i < 4; i++)
        if (strcmp(argv[1], commands[i]) == 0)
            sysctl.command = i;
    if (!sysctl.command || fd < 0 || mlockall(MCL_CURRENT)) {
        fputs("usage: offline offline|online|query FRAME, in dom0\n", stderr);
        return 2;
    }
    sysctl.start = sysctl.end = strtoul(argv[2], NULL, 0);
    sysctl.status = (uintptr_t)&status;
    if (ioctl(fd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call)) {
        perror("offline");
        return 1;
    }
    printf("%#x\n", status);
    return 0;
}
