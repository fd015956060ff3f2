/*
 * Makes a mark in the run, which the plugin of counter.c sees: an instruction that does nothing, with a number in its address.
 * Usage: mark 1..9
 */
#include <stdio.h>
#include <stdlib.h>

#define MARK(n) case n: __asm__ volatile("nopl 0x584c52" #n "0(%rax)"); return 0

int main(int argc, char **argv)
{
    switch (argc == 2 ? atoi(argv[1]) : 0) {
        MARK(1); MARK(2); MARK(3); MARK(4); MARK(5); MARK(6); MARK(7); MARK(8); MARK(9);
    }
    fprintf(stderr, "usage: mark 1..9\n");
    return 1;
}
