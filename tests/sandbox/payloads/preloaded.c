/* A library that is loaded into other programs by LD_PRELOAD and tells what it finds there. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static char program[64];

static void tell(const char *name, const char *value) {
    char path[3000];
    snprintf(path, sizeof path, "/probe/%s-%s=%s", program, name, value);
    int file = open(path, O_RDONLY);
    if (file >= 0) close(file);
}

/* Asks the stub resolver: a question that no unit was seen to send is a note of its own. */
static void ask(void) {
    static const unsigned char query[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09preloaded\x07invalid\x00\x00\x01\x00\x01";
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(socket_, query, sizeof query - 1, 0, (struct sockaddr *)&server, sizeof server);
    close(socket_);
}

__attribute__((constructor)) static void start(void) {
    char exe[1000] = {0}, line[200], fds[1000] = "", link[200], path[100];
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) return;
    snprintf(program, sizeof program, "%s", strrchr(exe, '/') + 1);
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        line[strcspn(line, "\n")] = 0;
        char *value = strchr(line, '\t');
        if (!value || (strncmp(line, "Cap", 3) && strncmp(line, "Seccomp_filters", 15) && strncmp(line, "NoNewPrivs", 10))) continue;
        *strchr(line, ':') = 0;
        tell(line, value + 1);
    }
    if (status) fclose(status);
    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, link, sizeof link - 1);
        if (length < 0 || fcntl(fd, F_GETFD) < 0) continue;
        link[length] = 0;
        if (strlen(fds) + length + 10 < sizeof fds) sprintf(fds + strlen(fds), "%d:%.*s;", fd, (int)strcspn(link, "["), link);
    }
    tell("fds", fds);
    ask();
}
