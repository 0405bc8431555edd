#include "case/case_gone.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct case_gone {
    pthread_rwlock_t lock; /* of what follows */
    char **accounts;       /* owned; few */
    size_t count, size;
    unsigned generation;
    atomic_size_t any; /* the count, to be looked at without the lock */
};

bool case_gone_new(case_gone **ret_gone, error *err)
{
    case_gone *gone = calloc(1, sizeof *gone);
    if (gone == NULL || pthread_rwlock_init(&gone->lock, NULL) != 0) {
        free(gone);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    }
    *ret_gone = gone;
    return true;
}

static void clear(case_gone *gone)
{
    for (size_t i = 0; i < gone->count; i++)
        free(gone->accounts[i]);
    gone->count = 0;
}

void case_gone_free(case_gone *gone)
{
    if (gone == NULL)
        return;
    clear(gone);
    free(gone->accounts);
    pthread_rwlock_destroy(&gone->lock);
    free(gone);
}

/* The place of the account, or the count. With the lock held. */
static size_t find(const case_gone *gone, const char *account, size_t length)
{
    size_t i = 0;
    while (i < gone->count &&
           (strncmp(gone->accounts[i], account, length) != 0 || gone->accounts[i][length] != '\0'))
        i++;
    return i;
}

/* With the lock held. Without memory the next look at the database brings it. */
static void add(case_gone *gone, const char *account)
{
    if (gone->count == gone->size) {
        size_t size = gone->size == 0 ? 8 : 2 * gone->size;
        char **grown = realloc(gone->accounts, size * sizeof *grown);
        if (grown == NULL)
            return;
        gone->accounts = grown;
        gone->size = size;
    }
    char *copy = strdup(account);
    if (copy != NULL)
        gone->accounts[gone->count++] = copy;
}

void case_gone_set(case_gone *gone, const char *account, bool is_gone)
{
    pthread_rwlock_wrlock(&gone->lock);
    gone->generation++;
    size_t at = find(gone, account, strlen(account));
    if (is_gone && at == gone->count)
        add(gone, account);
    if (!is_gone && at < gone->count) {
        free(gone->accounts[at]);
        gone->accounts[at] = gone->accounts[--gone->count];
    }
    atomic_store(&gone->any, gone->count);
    pthread_rwlock_unlock(&gone->lock);
}

unsigned case_gone_generation(case_gone *gone)
{
    pthread_rwlock_rdlock(&gone->lock);
    unsigned generation = gone->generation;
    pthread_rwlock_unlock(&gone->lock);
    return generation;
}

void case_gone_replace(case_gone *gone, unsigned generation, const char *const *accounts, size_t count)
{
    if (count == 0 && atomic_load(&gone->any) == 0)
        return;
    pthread_rwlock_wrlock(&gone->lock);
    if (gone->generation == generation) {
        clear(gone);
        for (size_t i = 0; i < count; i++)
            add(gone, accounts[i]);
        atomic_store(&gone->any, gone->count);
    }
    pthread_rwlock_unlock(&gone->lock);
}

bool case_gone_has(void *context, const char *account, size_t length)
{
    case_gone *gone = context;
    if (atomic_load_explicit(&gone->any, memory_order_acquire) == 0)
        return false;
    pthread_rwlock_rdlock(&gone->lock);
    bool has = find(gone, account, length) < gone->count;
    pthread_rwlock_unlock(&gone->lock);
    return has;
}
