/*
 * A plugin for QEMU's TCG that counts the instructions of the whole machine. Each time a CPU executes the instruction of
 * mark.c, a line "NUMBER INSTRUCTIONS" goes to the file that the plugin's argument out= names.
 *
 * Debian ships no header for plugins, so what is used of QEMU's interface (version 4, QEMU 9.2 and later) is declared here.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

struct tb;
struct insn;
struct scoreboard;
typedef struct { struct scoreboard *score; size_t offset; } counter_u64;
enum { ADD_U64 = 0 };
enum { NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t id, struct tb *tb));
size_t qemu_plugin_tb_n_insns(const struct tb *tb);
struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct insn *insn, void *buffer, size_t length);
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn, void (*executed)(unsigned int cpu, void *argument),
                                            int flags, void *argument);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct insn *insn, int operation, counter_u64 counter,
                                                         uint64_t operand);
struct scoreboard *qemu_plugin_scoreboard_new(size_t element_bytes);
uint64_t qemu_plugin_u64_sum(counter_u64 counter);

EXPORTED int qemu_plugin_version = 4;

static counter_u64 executed_insns;
static FILE *out;

static void marked(unsigned int cpu, void *number)
{
    (void)cpu;
    fprintf(out, "%zu %llu\n", (size_t)number, (unsigned long long)qemu_plugin_u64_sum(executed_insns));
    fflush(out);
}

static void translated(uint64_t id, struct tb *tb)
{
    /* nopl 0x584c52N0(%rax): the number stands in the upper half of the displacement's first byte. */
    static const uint8_t mark[] = { 0x0f, 0x1f, 0x80, 0x00, 0x52, 0x4c, 0x58 };
    size_t i, count = qemu_plugin_tb_n_insns(tb);

    (void)id;
    for (i = 0; i < count; i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint8_t bytes[sizeof(mark)];
        size_t number = 0;

        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD_U64, executed_insns, 1);
        if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) == sizeof(bytes)) {
            number = bytes[3] >> 4;
            bytes[3] = 0;
            if (number && !memcmp(bytes, mark, sizeof(mark)))
                qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, NO_REGISTERS, (void *)number);
        }
    }
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w")))
        return -1;
    executed_insns.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    executed_insns.offset = 0;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
