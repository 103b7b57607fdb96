/*
 * Stubs of Xen's libraries. Preloaded into xenstored or oxenstored, they let
 * any user run several of these daemons on a machine without Xen:
 *
 *     cc -shared -fPIC -o xen_stubs.so xen_stubs.c -ldl
 *
 * - The functions answer as on a machine with Xen. Domain 0 exists, and the
 *   domains that $XEN_STUBS_DOMIDS lists, separated by blanks. A domain's ring
 *   is the file ring-DOMID in $XEN_STUBS_ROOT; writing 1000 + DOMID as an int to
 *   the FIFO events there sends its event channel an event.
 * - Paths under /var are changed to paths under $XEN_STUBS_ROOT, where the
 *   directories var/run/xen, var/run/xenstored and var/log/xen must exist.
 * - The process is killed when its standard input, a pipe, closes: this happens
 *   however its parent ends.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

/* ---- The end of the daemon ------------------------------------------------- */

__attribute__((constructor)) static void die_with_parent(void)
{
    fcntl(STDIN_FILENO, F_SETOWN, getpid());
    fcntl(STDIN_FILENO, F_SETSIG, SIGKILL);
    fcntl(STDIN_FILENO, F_SETFL, O_ASYNC);
}

/* ---- Domains: libxenctrl -------------------------------------------------- */

#define DOMID_FIRST_RESERVED 0x7ff0

static int a_handle; /* its address stands for every handle */

static bool exists(uint32_t domid)
{
    const char *rest = getenv("XEN_STUBS_DOMIDS");
    char *end;

    if (domid == 0)
        return true;
    while (rest != NULL) {
        unsigned long listed = strtoul(rest, &end, 10);

        if (end == rest)
            return false;
        if (listed == domid)
            return true;
        rest = end;
    }
    return false;
}

/*
 * Both structures that describe a domain begin with its id, in 16 or 32 bits.
 * The flags of its shutdown are in the twelve bytes after that.
 */
static int describe_first(uint32_t domid, void *info)
{
    while (domid < DOMID_FIRST_RESERVED && !exists(domid))
        domid++;
    if (domid >= DOMID_FIRST_RESERVED)
        return 0;
    memset(info, 0, 16);
    memcpy(info, &domid, sizeof(domid));
    return 1;
}

int xc_domain_getinfo(void *xch, uint32_t first, unsigned max, void *info)
{
    return describe_first(first, info);
}

int xc_domain_getinfolist(void *xch, uint32_t first, unsigned max, void *info)
{
    return describe_first(first, info);
}

/* Since 4.18; xenstored 4.20 uses no other. */
int xc_domain_getinfo_single(void *xch, uint32_t domid, void *info)
{
    if (!exists(domid)) {
        errno = ESRCH;
        return -1;
    }
    return describe_first(domid, info) == 1 ? 0 : -1;
}

/* ---- Domains: libxenmanage, since Xen 4.21 -------------------------------- */

#define CAPS_OF_DOM0 5 /* XENMANAGE_GETDOMSTATE_CAP_CONTROL and _CAP_XENSTORE */
#define STATE_EXISTS 1

static bool told_of_dom0;

void *xenmanage_open(void *logger, unsigned flags) { return &a_handle; }
int xenmanage_close(void *xm) { return 0; }

int xenmanage_get_domain_info(void *xm, unsigned domid, unsigned *state, unsigned *caps,
                              uint64_t *unique_id)
{
    if (!exists(domid)) {
        errno = ENOENT;
        return -1;
    }
    if (state != NULL)
        *state = STATE_EXISTS;
    if (caps != NULL)
        *caps = domid == 0 ? CAPS_OF_DOM0 : 0;
    if (unique_id != NULL)
        *unique_id = domid + 1; /* 0 means that there is no domain */
    return 0;
}

/* The daemon introduces the domains that it hears of here: at its start, only domain 0. */
int xenmanage_poll_changed_domain(void *xm, unsigned *domid, unsigned *state, unsigned *caps,
                                  uint64_t *unique_id)
{
    if (told_of_dom0) {
        errno = ENOENT;
        return -1;
    }
    told_of_dom0 = true;
    *domid = 0;
    return xenmanage_get_domain_info(xm, 0, state, caps, unique_id);
}

/* ---- Rings ---------------------------------------------------------------- */

static const char *in_root(char *buffer, const char *format, unsigned number)
{
    int length = snprintf(buffer, 4096, "%s/", getenv("XEN_STUBS_ROOT"));

    snprintf(buffer + length, 4096 - length, format, number);
    return buffer;
}

static void *ring_of(uint32_t domid)
{
    char path[4096];
    int fd = open(in_root(path, "ring-%u", domid), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *page = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, 4096) == 0)
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int prot, unsigned long gfn)
{
    return ring_of(domid);
}

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
    return &a_handle;
}

int xc_interface_close(void *xch) { return 0; }

/* ---- Grants: libxengnttab ------------------------------------------------- */

void *xengnttab_open(void *logger, unsigned flags) { return &a_handle; }
int xengnttab_close(void *xgt) { return 0; }
int xengnttab_set_max_grants(void *xgt, uint32_t count) { return 0; }

void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return ring_of(domid);
}

int xengnttab_unmap(void *xgt, void *start, uint32_t count) { return munmap(start, count * 4096); }

/* ---- Event channels: libxenevtchn ----------------------------------------- */

#define FIRST_INTERDOMAIN_PORT 1000

static int events = -1;
static int last_port;

void *xenevtchn_open(void *logger, unsigned flags)
{
    char path[4096];

    if (events < 0) {
        mkfifo(in_root(path, "events", 0), 0600);
        events = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    return &a_handle;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
    return xenevtchn_open(logger, flags);
}

int xenevtchn_close(void *xce) { return 0; }
int xenevtchn_fd(void *xce) { return events; }
int xenevtchn_bind_virq(void *xce, unsigned virq) { return ++last_port; }
int xenevtchn_unbind(void *xce, uint32_t port) { return 0; }
int xenevtchn_unmask(void *xce, uint32_t port) { return 0; }
int xenevtchn_notify(void *xce, uint32_t port) { return 0; }

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port)
{
    return FIRST_INTERDOMAIN_PORT + domid;
}

int xenevtchn_pending(void *xce)
{
    int port;

    return read(events, &port, sizeof(port)) == sizeof(port) ? port : -1;
}

/* ---- Files: libc ---------------------------------------------------------- */

/* Return the path under $XEN_STUBS_ROOT for path; buffer has PATH_MAX bytes. */
static const char *relocated(const char *path, char *buffer)
{
    const char *root = getenv("XEN_STUBS_ROOT");

    if (root == NULL || strncmp(path, "/var/", 5) != 0)
        return path;
    snprintf(buffer, 4096, "%s%s", root, path);
    return buffer;
}

/* The kernel's files about dom0's ring: its page, and its port without a newline. */
static int open_dom0_file(const char *path)
{
    int fd;

    if (strcmp(path, "/proc/xen/xsd_kva") == 0) {
        fd = memfd_create("xsd_kva", 0);
        return ftruncate(fd, 4096) == 0 ? fd : -1;
    }
    if (strcmp(path, "/proc/xen/xsd_port") == 0) {
        fd = memfd_create("xsd_port", 0);
        return pwrite(fd, "1", 1, 0) == 1 ? fd : -1;
    }
    return -1;
}

int open(const char *path, int flags, ...)
{
    char buffer[4096];
    int fd = open_dom0_file(path);
    mode_t mode;
    va_list arguments;

    if (fd >= 0)
        return fd;
    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return REAL(open)(relocated(path, buffer), flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int mkdir(const char *path, mode_t mode)
{
    char buffer[4096];

    return REAL(mkdir)(relocated(path, buffer), mode);
}

int unlink(const char *path)
{
    char buffer[4096];

    return REAL(unlink)(relocated(path, buffer));
}

int chmod(const char *path, mode_t mode)
{
    char buffer[4096];

    return REAL(chmod)(relocated(path, buffer), mode);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    char buffer[4096];
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    const char *path = relocated(((const struct sockaddr_un *)address)->sun_path, buffer);

    if (strlen(path) >= sizeof(own.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(own.sun_path, path);
    return REAL(bind)(fd, (const struct sockaddr *)&own, sizeof(own));
}

/* oxenstored raises its limit of open files, which needs root. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) { return 0; }
