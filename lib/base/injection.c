#include "base/injection.h"

#ifdef CASEWORK_INJECTION

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POINTS_MAX = 16 };
enum action { ACTION_KILL, ACTION_SLEEP, ACTION_DROP };

struct point {
    char name[64];
    enum action action;
    long milliseconds;
    long only;  /* the time at which it acts; 0: every time */
    long every; /* acts when so many times have passed */
    long reached, fired;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct point points[POINTS_MAX];
static int point_count;

/* One "name=action[:number][@number][%number]". What cannot be read is left out, loudly: a test would pass
 * for nothing. */
static void add_point(const char *text)
{
    char action[16] = "";
    struct point p = {.only = 0};
    const char *at = strchr(text, '@'), *percent = strchr(text, '%');
    const char *colon = strchr(text, ':');
    int read = sscanf(text, "%63[^=]=%15[a-z]", p.name, action);
    p.only = at ? strtol(at + 1, NULL, 10) : 0;
    p.every = percent ? strtol(percent + 1, NULL, 10) : 1;
    p.milliseconds = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (strcmp(action, "kill") == 0)
        p.action = ACTION_KILL;
    else if (strcmp(action, "sleep") == 0)
        p.action = ACTION_SLEEP;
    else if (strcmp(action, "drop") == 0)
        p.action = ACTION_DROP;
    else
        read = 0;
    if (read == 2 && p.every > 0 && point_count < POINTS_MAX)
        points[point_count++] = p;
    else
        fprintf(stderr, "CASEWORK_INJECT: cannot use \"%s\"\n", text);
}

static void set_all(const char *text)
{
    char copy[1024];
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    pthread_mutex_lock(&guard);
    point_count = 0;
    for (char *one = strtok_r(copy, "|", &rest); one; one = strtok_r(NULL, "|", &rest))
        add_point(one);
    pthread_mutex_unlock(&guard);
}

static void read_environment(void)
{
    const char *text = getenv("CASEWORK_INJECT");
    if (text)
        set_all(text);
}

void injection_set(const char *text)
{
    pthread_once(&once, read_environment);
    set_all(text);
}

static struct point *find(const char *name)
{
    for (int i = 0; i < point_count; i++)
        if (strcmp(points[i].name, name) == 0)
            return &points[i];
    return NULL;
}

int injection_fired(const char *name)
{
    pthread_mutex_lock(&guard);
    struct point *p = find(name);
    int fired = p ? (int)p->fired : 0;
    pthread_mutex_unlock(&guard);
    return fired;
}

/* Not twice where that is wanted. */
static bool may_act(const char *name)
{
    const char *directory = getenv("CASEWORK_INJECT_ONCE");
    char path[512];
    if (!directory)
        return true;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0600);
    if (file >= 0)
        close(file);
    return file >= 0;
}

bool injection_point(const char *name)
{
    struct point acting = {.fired = 0};
    pthread_once(&once, read_environment);
    pthread_mutex_lock(&guard);
    struct point *p = find(name);
    if (p && (++p->reached == p->only || (p->only == 0 && p->reached % p->every == 0)) && may_act(name)) {
        p->fired++;
        acting = *p;
    }
    pthread_mutex_unlock(&guard);
    if (!acting.fired)
        return false;
    if (acting.action == ACTION_KILL)
        kill(getpid(), SIGKILL);
    if (acting.action == ACTION_SLEEP)
        nanosleep(&(struct timespec){acting.milliseconds / 1000, acting.milliseconds % 1000 * 1000000}, NULL);
    return acting.action == ACTION_DROP;
}

#else
/* Nothing of this is in releases; ISO C wants a file to declare something. */
typedef int injection_unused;
#endif
