/* shutdown DOMID REASON: asks Xen to shut a domain down from outside (SCHEDOP_remote_shutdown), as no tool of dom0 does for PV. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { SCHED_OP = 29, REMOTE_SHUTDOWN = 4 };

int main(int argc, char **argv)
{
    /* struct sched_remote_shutdown */
    struct { uint16_t domain; uint32_t reason; } shutdown;
    /* struct privcmd_hypercall */
    struct { uint64_t op, arguments[5]; } call = { SCHED_OP, { REMOTE_SHUTDOWN, (uintptr_t)&shutdown } };
    int fd = open("/dev/xen/privcmd", O_RDWR);

    if (argc != 3 || fd < 0) {
        fputs("usage: shutdown DOMID REASON, in dom0\n", stderr);
        return 2;
    }
    shutdown.domain = atoi(argv[1]);
    shutdown.reason = atoi(argv[2]);
    /* Xen reads it where it is. */
    if (mlock(&shutdown, sizeof(shutdown)) || ioctl(fd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call)) {
        perror("shutdown");
        return 1;
    }
    return 0;
}
