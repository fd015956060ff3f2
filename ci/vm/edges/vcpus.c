/* vcpus FRAMES TRIES [EMULATION]: makes a logged domain whose ring has FRAMES frames, asks for its vCPU so often, and destroys the
 * domain. With EMULATION, the flags of emulated devices. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { DOMCTL = 36, CREATEDOMAIN = 1, DESTROYDOMAIN = 2, MAX_VCPUS = 15, RECORD = 1 };

/* struct xen_domctl_createdomain */
struct create {
    uint32_t ssidref;
    uint8_t handle[16];
    uint32_t flags, iommu_opts, max_vcpus, max_evtchn_port;
    int32_t max_grant_frames, max_maptrack_frames;
    uint32_t grant_opts, altp2m_opts, vmtrace_size, cpupool_id;
    uint8_t xenlr_mode, xenlr_on_full;
    uint16_t xenlr_time_bound_us;
    uint32_t xenlr_buf_frames, xenlr_arena_frames;
    uint64_t xenlr_arena_mfn;
    uint32_t xenlr_force_us, xenlr_flags;
    uint32_t emulation_flags, misc_flags;
};

/* struct xen_domctl */
static struct {
    uint32_t cmd, version;
    uint16_t domain, pad[3];
    union { struct create create; uint32_t max_vcpus; uint8_t pad[128]; } u;
} domctl;

static int request(int fd, uint32_t cmd)
{
    /* struct privcmd_hypercall */
    struct { uint64_t op, arguments[5]; } call = { DOMCTL, { (uintptr_t)&domctl } };

    domctl.cmd = cmd;
    domctl.version = 0x18;
    return ioctl(fd, _IOC(_IOC_NONE, 'P', 0, sizeof(call)), &call);
}

int main(int argc, char **argv)
{
    int fd = open("/dev/xen/privcmd", O_RDWR), failed = 0;

    if (argc < 3 || fd < 0 || mlockall(MCL_CURRENT)) {
        fputs("usage: vcpus FRAMES TRIES [EMULATION], in dom0\n", stderr);
        return 2;
    }
    domctl.u.create = (struct create){
        .handle = { 1 },
        .max_vcpus = 1,
        .max_evtchn_port = 1023,
        .max_grant_frames = 4,
        .grant_opts = 1,
        .xenlr_mode = RECORD,
        .xenlr_buf_frames = atoi(argv[1]),
        .xenlr_arena_frames = 2048,
        .xenlr_arena_mfn = ~0ULL,
        .emulation_flags = argc > 3 ? strtoul(argv[3], NULL, 0) : 0,
    };
    if (request(fd, CREATEDOMAIN)) {
        perror("createdomain");
        return 1;
    }
    for (int i = atoi(argv[2]); i > 0; i--) {
        domctl.u.max_vcpus = 1;
        if (request(fd, MAX_VCPUS) == 0)
            break;
        printf("max_vcpus: %s\n", strerror(errno));
        failed++;
    }
    if (request(fd, DESTROYDOMAIN)) {
        perror("destroydomain");
        return 1;
    }
    printf("failed %d times\n", failed);
    return 0;
}
