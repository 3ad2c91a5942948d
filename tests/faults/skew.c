/* A wall clock that is an hour ahead, for the one process that preloads this. The monotonic clock stays.
 *
 * The kernel keeps its own time, so a moment until which a thread waits has to be put back again: else it would wait an
 * hour longer, as it does on no machine whose clock is wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

#define SKEW_S 3600
#define LEAST_WALL_S 1000000000 /* what is less is a moment of the monotonic clock */

static struct timespec of_kernel(const struct timespec *at) {
    struct timespec moved = *at;
    if (moved.tv_sec > LEAST_WALL_S)
        moved.tv_sec -= SKEW_S;
    return moved;
}

/* Without its version dlsym finds the oldest one, which takes another kind of condition. */
static void *cond_function(const char *name) {
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return found ? found : dlsym(RTLD_NEXT, name);
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real)
        real = cond_function("pthread_cond_timedwait");
    struct timespec moved = of_kernel(until);
    return real(cond, mutex, &moved);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_mutex_t *, const struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
    struct timespec moved = of_kernel(until);
    return real(mutex, &moved);
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec moved = of_kernel(until);
    return real(cond, mutex, &moved);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec moved = of_kernel(until);
    return real(semaphore, &moved);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        at->tv_sec += SKEW_S;
    return result;
}

int timespec_get(struct timespec *at, int base) {
    if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, at))
        return 0;
    return base;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
