/* introduce DOMID FRAME PORT: has xenstored introduce a domain anew (XS_INTRODUCE), as a toolstack does. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { XS_INTRODUCE = 8 };

int main(int argc, char **argv)
{
    /* struct xsd_sockmsg, and the payload: three strings. */
    struct { uint32_t type, request, transaction, length; char text[64]; } message = { XS_INTRODUCE };
    int fd = open("/dev/xen/xenbus", O_RDWR);

    if (argc != 4 || fd < 0) {
        fputs("usage: introduce DOMID FRAME PORT, in dom0\n", stderr);
        return 2;
    }
    for (int i = 1; i < 4; i++) {
        size_t size = strlen(argv[i]) + 1;

        if (message.length + size > sizeof(message.text))
            return 2;
        memcpy(message.text + message.length, argv[i], size);
        message.length += size;
    }
    if (write(fd, &message, 16 + message.length) < 0 || read(fd, &message, sizeof(message)) < 16) {
        perror("introduce");
        return 1;
    }
    if (message.type != XS_INTRODUCE) {
        fprintf(stderr, "introduce: %.*s\n", (int)message.length, message.text);
        return 1;
    }
    return 0;
}
