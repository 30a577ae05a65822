/*
 * The floor that vibe is measured against: what any VM with this kernel needs before a program
 * runs. Loads the modules, mounts the root and runs bash on /floor.sh as PID 1; nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        syscall(SYS_finit_module, fd, "", 0);
        close(fd);
    }
}

static int copy(const char *from, const char *to) {
    char buffer[4096];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t count = -1;
    while (in >= 0 && out >= 0 && (count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, count) != count) return -1;
    close(in);
    close(out);
    return (int)count;
}

int main(void) {
    mount("dev", "/dev", "devtmpfs", 0, "");
    FILE *order = fopen("/modules/order", "r");
    char name[256];
    while (order && fscanf(order, "%255s", name) == 1) load(name);
    if (mount("/dev/vda", "/newroot", "ext4", MS_NOATIME, "") != 0) perror("mount /dev/vda");
    mount("dev", "/newroot/dev", "devtmpfs", 0, "");
    mount("proc", "/newroot/proc", "proc", 0, "");
    mount("sys", "/newroot/sys", "sysfs", 0, "");
    mount("run", "/newroot/run", "tmpfs", 0, "");
    if (copy("/floor.sh", "/newroot/run/floor.sh") != 0) perror("copy");
    if (chdir("/newroot") != 0 || chroot(".") != 0) perror("chroot");
    int console = open("/dev/hvc0", O_RDWR);
    for (int fd = 0; fd < 3; fd++) dup2(console, fd);
    char *argv[] = {"bash", "/run/floor.sh", NULL};
    char *env[] = {"PATH=/usr/sbin:/usr/bin", "HOME=/root", NULL};
    execve("/bin/bash", argv, env);
    perror("bash");
    reboot(RB_POWER_OFF);
    return 1;
}
