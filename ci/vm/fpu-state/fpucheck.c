/*
 * Holds a pattern of its own in xmm0 to xmm15 across computation and system calls, and counts how often it changed.
 * Usage: fpucheck SECONDS [first]; exit status 1 when a register changed. With "first" it ends with the first change.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOAD(i) "movdqa " #i "*16(%1), %%xmm" #i "\n\t"
#define SAVE(i) "movdqa %%xmm" #i ", " #i "*16(%2)\n\t"
#define ALL(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)

int main(int argc, char **argv)
{
    uint64_t before[32] __attribute__((aligned(16))), after[32] __attribute__((aligned(16)));
    uint64_t seed = (unsigned char)getpid() * 0x0101010101010101u;
    long rounds = 0, changed = 0;
    time_t end;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: fpucheck SECONDS [first]\n");
        return 2;
    }
    end = time(NULL) + atoi(argv[1]);
    for (int i = 0; i < 32; i++)
        before[i] = seed + i;

    while (time(NULL) < end && !(argc == 3 && changed)) {
        long spins = 20000;

        asm volatile(ALL(LOAD)
                     "1: dec %0\n\t"
                     "jnz 1b\n\t"
                     "mov $24, %%eax\n\t" /* sched_yield */
                     "syscall\n\t"
                     ALL(SAVE)
                     : "+r"(spins)
                     : "r"(before), "r"(after)
                     : "memory", "cc", "rax", "rcx", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
        rounds++;
        changed += memcmp(before, after, sizeof(before)) != 0;
    }
    printf("fpucheck: %ld rounds, %ld with changed registers\n", rounds, changed);
    return changed != 0;
}
