#include "sweep/fault_io.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <threads.h>
#include <unistd.h>

static const struct fault_plan *plan; /* atomic; NULL = off */
static struct fault_log *out;
static _Thread_local bool exempt;

void fault_io_arm(const struct fault_plan *p, struct fault_log *log)
{
	out = log;
	__atomic_store_n(&plan, p, __ATOMIC_RELEASE);
}

void fault_io_off(void)
{
	__atomic_store_n(&plan, NULL, __ATOMIC_RELEASE);
}

bool fault_io_exempt(bool yes)
{
	bool was = exempt;
	exempt = yes;
	return was;
}

enum verdict { PASS, FAIL, SHORTEN };

/* fd -1: of none. */
static enum verdict strike(const char *what, int fd)
{
	const struct fault_plan *p = __atomic_load_n(&plan, __ATOMIC_ACQUIRE);

	if (!p || exempt || (fd >= 0 && fd <= STDERR_FILENO))
		return PASS;
	uint64_t n = __atomic_add_fetch(&out->calls, 1, __ATOMIC_RELAXED);
	bool again = p->mode == FAULT_LASTING && p->at && n > p->at &&
		     __atomic_load_n(&out->struck, __ATOMIC_ACQUIRE) &&
		     strcmp(out->what, what) == 0;
	if (n != p->at)
		return again ? FAIL : PASS;
	strncpy(out->what, what, sizeof(out->what) - 1);
	__atomic_store_n(&out->struck, true, __ATOMIC_RELEASE);
	return p->mode == FAULT_SHORT ? SHORTEN : FAIL;
}

static bool is_socket(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Transfers between threads (eventfds, pipes) have no way to fail. */
static enum verdict strike_transfer(const char *what, int fd)
{
	struct stat st;
	bool outside = fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode));

	return outside ? strike(what, fd) : PASS;
}

/* What a broken peer or disk gives. */
static int fail_of(int fd, bool writes)
{
	if (is_socket(fd))
		errno = writes ? EPIPE : ECONNRESET;
	else
		errno = writes ? ENOSPC : EIO;
	return -1;
}

static int fail_with(int errnum)
{
	errno = errnum;
	return -1;
}

/* The next definition of the function behind ours. */
#define NEXT(fn)                                                                                   \
	static __typeof__(&fn) next;                                                               \
	if (!next)                                                                                 \
	*(void **)&next = dlsym(RTLD_NEXT, #fn)

/* Transfers: n is what may be shortened. */
#define TRANSFER(fn, fd, n, writes, call)                                                          \
	do {                                                                                       \
		NEXT(fn);                                                                          \
		enum verdict how = strike_transfer(#fn, fd);                                       \
		if (how == FAIL)                                                                   \
			return fail_of(fd, writes);                                                \
		if (how == SHORTEN && (n) > 1)                                                     \
			(n) = 1;                                                                   \
		return call;                                                                       \
	} while (0)

ssize_t read(int fd, void *p, size_t n)
{
	TRANSFER(read, fd, n, false, next(fd, p, n));
}

ssize_t write(int fd, const void *p, size_t n)
{
	TRANSFER(write, fd, n, true, next(fd, p, n));
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	TRANSFER(pread, fd, n, false, next(fd, p, n, at));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	TRANSFER(pwrite, fd, n, true, next(fd, p, n, at));
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
	TRANSFER(pread64, fd, n, false, next(fd, p, n, at));
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	TRANSFER(pwrite64, fd, n, true, next(fd, p, n, at));
}

ssize_t readv(int fd, const struct iovec *v, int n)
{
	TRANSFER(readv, fd, n, false, next(fd, v, n));
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	TRANSFER(writev, fd, n, true, next(fd, v, n));
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	TRANSFER(recv, fd, n, false, next(fd, p, n, flags));
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	TRANSFER(send, fd, n, true, next(fd, p, n, flags));
}

ssize_t recvfrom(int fd, void *restrict p, size_t n, int flags, struct sockaddr *restrict sa,
	socklen_t *restrict len)
{
	TRANSFER(recvfrom, fd, n, false, next(fd, p, n, flags, sa, len));
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *sa, socklen_t len)
{
	TRANSFER(sendto, fd, n, true, next(fd, p, n, flags, sa, len));
}

/* A message of several pieces goes out (or comes in) with its first one only. */
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct msghdr cut = *m;

	NEXT(sendmsg);
	enum verdict v = strike("sendmsg", fd);
	if (v == FAIL)
		return fail_of(fd, true);
	if (v == SHORTEN && cut.msg_iovlen > 1)
		cut.msg_iovlen = 1;
	return next(fd, &cut, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	NEXT(recvmsg);
	return strike("recvmsg", fd) == FAIL ? fail_of(fd, false) : next(fd, m, flags);
}

/* Calls that succeed or not; one that may be interrupted is, when it can't be shortened. */
#define CALL(fn, fd, errnum, interrupted, call)                                                    \
	do {                                                                                       \
		NEXT(fn);                                                                          \
		enum verdict how = strike(#fn, fd);                                                \
		if (how == FAIL || (how == SHORTEN && (interrupted)))                              \
			return fail_with(how == FAIL ? (errnum) : EINTR);                          \
		return call;                                                                       \
	} while (0)

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	CALL(connect, fd, ECONNREFUSED, false, next(fd, sa, len));
}

int accept(int fd, struct sockaddr *restrict sa, socklen_t *restrict len)
{
	CALL(accept, fd, EMFILE, true, next(fd, sa, len));
}

int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
	CALL(accept4, fd, EMFILE, true, next(fd, sa, len, flags));
}

int socket(int domain, int type, int protocol)
{
	CALL(socket, -1, EMFILE, false, next(domain, type, protocol));
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	CALL(bind, fd, EADDRINUSE, false, next(fd, sa, len));
}

int listen(int fd, int backlog)
{
	CALL(listen, fd, EADDRINUSE, false, next(fd, backlog));
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	CALL(setsockopt, fd, ENOBUFS, false, next(fd, level, name, value, len));
}

int fsync(int fd)
{
	CALL(fsync, fd, EIO, false, next(fd));
}

int fdatasync(int fd)
{
	CALL(fdatasync, fd, EIO, false, next(fd));
}

int ftruncate(int fd, off_t n)
{
	CALL(ftruncate, fd, EIO, false, next(fd, n));
}

int ftruncate64(int fd, off64_t n)
{
	CALL(ftruncate64, fd, EIO, false, next(fd, n));
}

int unlink(const char *path)
{
	CALL(unlink, -1, EACCES, false, next(path));
}

int epoll_create1(int flags)
{
	CALL(epoll_create1, -1, EMFILE, false, next(flags));
}

int epoll_ctl(int fd, int op, int of, struct epoll_event *ev)
{
	/* Only adding takes memory and a place in a limit. */
	if (op != EPOLL_CTL_ADD) {
		NEXT(epoll_ctl);
		return next(fd, op, of, ev);
	}
	CALL(epoll_ctl, fd, ENOSPC, false, next(fd, op, of, ev));
}

int epoll_wait(int fd, struct epoll_event *ev, int n, int ms)
{
	CALL(epoll_wait, fd, EINTR, true, next(fd, ev, n, ms));
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
	CALL(poll, -1, EINTR, true, next(fds, n, ms));
}

int eventfd(unsigned n, int flags)
{
	CALL(eventfd, -1, EMFILE, false, next(n, flags));
}

int pipe2(int fds[2], int flags)
{
	CALL(pipe2, -1, EMFILE, false, next(fds, flags));
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	CALL(open, -1, EMFILE, false, next(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	CALL(open64, -1, EMFILE, false, next(path, flags, mode));
}

int getaddrinfo(const char *restrict node, const char *restrict service,
	const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
	NEXT(getaddrinfo);
	return strike("getaddrinfo", -1) == FAIL ? EAI_AGAIN : next(node, service, hints, res);
}

/* ---- threads ---- */

struct beginning {
	void *(*fn)(void *);
	void *arg;
	bool exempt;
};

static void *begin(void *arg)
{
	struct beginning b = *(struct beginning *)arg;

	free(arg);
	exempt = b.exempt;
	return b.fn(b.arg);
}

int pthread_create(pthread_t *restrict id, const pthread_attr_t *restrict attr, void *(*fn)(void *),
	void *restrict arg)
{
	NEXT(pthread_create);
	if (strike("pthread_create", -1) == FAIL)
		return EAGAIN;
	struct beginning *b = malloc(sizeof(*b));
	if (!b)
		abort();
	*b = (struct beginning){.fn = fn, .arg = arg, .exempt = exempt};
	int r = next(id, attr, begin, b);
	if (r)
		free(b);
	return r;
}

/* librdkafka starts its threads as C11 does. They are never refused: version 2.0 leaks what it had made when
 * a broker's thread can't be started. */
struct c11_beginning {
	thrd_start_t fn;
	void *arg;
	bool exempt;
};

static int begin_c11(void *arg)
{
	struct c11_beginning b = *(struct c11_beginning *)arg;

	free(arg);
	exempt = b.exempt;
	return b.fn(b.arg);
}

int thrd_create(thrd_t *id, thrd_start_t fn, void *arg)
{
	NEXT(thrd_create);
	struct c11_beginning *b = malloc(sizeof(*b));
	if (!b)
		abort();
	*b = (struct c11_beginning){.fn = fn, .arg = arg, .exempt = exempt};
	int r = next(id, begin_c11, b);
	if (r != thrd_success)
		free(b);
	return r;
}
