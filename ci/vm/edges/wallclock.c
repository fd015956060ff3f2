/* wallclock DOMID COUNT: writes the domain's wallclock so often by each of two ways, at the same time, on two CPUs. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PLATFORM_OP = 7, DOMCTL = 36, SETTIME64 = 62, SETTIMEOFFSET = 24 };

/* hypercall OPERATION BUFFER: what the buffer holds Xen reads where it is. */
static int hypercall(int fd, uint64_t operation, void *buffer)
{
    /* struct privcmd_hypercall */
    struct { uint64_t op, arguments[5]; } call = { operation, { (uintptr_t)buffer } };

    return ioctl(fd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call);
}

int main(int argc, char **argv)
{
    /* struct xen_platform_op, xenpf_settime64; struct xen_domctl, xen_domctl_settimeoffset. */
    static struct { uint32_t cmd, version; uint64_t secs; uint32_t nsecs, zero; uint64_t system_time; uint64_t rest[16]; }
        platform = { SETTIME64, 0x03000001 };
    static struct { uint32_t cmd, version; uint16_t domain, pad[3]; int64_t seconds; uint64_t rest[16]; }
        domctl = { SETTIMEOFFSET, 0x18 };
    int fd = open("/dev/xen/privcmd", O_RDWR), status, failed = 0;
    pid_t child;

    if (argc != 3 || fd < 0) {
        fputs("usage: wallclock DOMID COUNT, in dom0\n", stderr);
        return 2;
    }
    domctl.domain = atoi(argv[1]);
    platform.secs = time(NULL);
    child = fork();
    if (mlockall(MCL_CURRENT)) {
        perror("wallclock: mlockall");
        return 1;
    }
    for (int i = atoi(argv[2]); i > 0; i--)
        failed |= child ? hypercall(fd, PLATFORM_OP, &platform) : hypercall(fd, DOMCTL, &domctl);
    if (failed)
        perror(child ? "wallclock: settime64" : "wallclock: settimeoffset");
    if (!child)
        return failed != 0;
    return waitpid(child, &status, 0) != child || status || failed;
}
