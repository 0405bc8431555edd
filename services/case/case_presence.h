#ifndef CASEWORK_CASE_PRESENCE_H
#define CASEWORK_CASE_PRESENCE_H

/*
 * What agents are doing, told from replica to replica over Redis pub/sub. Best effort: what cannot be sent is
 * forgotten, nobody waits for it, and nothing is stored.
 */

#include "base/error.h"

#include <stdbool.h>

typedef struct case_presence case_presence;

enum { PRESENCE_TEXT_MAX = 320 }; /* bytes of one message */

/*
 * Starts the threads; a Redis that is down is waited for. `heard` is called on one of them with each message
 * of another replica; `host` names this one. All texts are copied.
 */
bool case_presence_new(const char *redis_url, const char *host,
                       void (*heard)(void *context, const char *text), void *context,
                       case_presence **ret_presence, error *err) __attribute__((warn_unused_result));
void case_presence_free(case_presence *presence); /* takes NULL */

/* From any thread, never blocks. */
void case_presence_tell(case_presence *presence, const char *text);

#endif
