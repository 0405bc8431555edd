#ifndef CASEWORK_CASE_RULES_MERGE_H
#define CASEWORK_CASE_RULES_MERGE_H

/*
 * What merging two cases, and undoing it, does to both (docs/case.md, "Merging"). Pure, like case_rules.h.
 *
 * The source stays as it is, frozen; its messages are copied into the target behind the target's own. So the
 * undo has nothing to restore in the source, and takes the copies out of the target, whose counts and times
 * are then those of the messages that it has.
 */

#include "case/case_rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CASE_MERGE_MESSAGES_MAX = 4000,      /* of the source: one event tells of them all */
    CASE_MERGE_CONVERSATION_MAX = 20000, /* of both together */
    CASE_UNMERGE_MESSAGES_MAX = 100000,  /* of the target when it is undone: all are counted anew */
};

/* A merge that stands. */
struct case_merge {
    int64_t source, target;
    struct text_list agents; /* the source's owner and involved agents */
    struct text_list added;  /* those of them whom the merge made involved in the target */
};

/* The messages of a case as they are now, by number. Their bodies and attachments are not looked at. */
struct case_conversation {
    const struct message_record *items;
    size_t count;
};

struct case_merge_change {
    struct case_change source, target; /* without events: nothing to do */
    struct case_merge merge;           /* merging: new; undoing: the one that ends */
    struct message_record *copies;     /* merging: new messages of the target; body and attachments not set */
    size_t copy_count;
};

/*
 * Merges source into target. `expected` versions: 0 for any. Refused: ABORTED ETAG_MISMATCH;
 * FAILED_PRECONDITION CASE_MERGED (either is merged already; into the very same target: nothing to do),
 * CASE_DELETED, CASE_CLOSED (the target), CASE_TOO_LARGE.
 */
bool case_rules_merge(const struct case_context *context, const struct case_record *source,
                      int64_t expected_source, const struct case_record *target, int64_t expected_target,
                      const struct case_conversation *of_source, const struct case_conversation *of_target,
                      struct case_merge_change *ret_change, error *err) __attribute__((warn_unused_result));

/*
 * Undoes the merge of `source` into `target`. `merges`: all that stand at the target, this one included; what
 * the others take over of it is changed in place. Refused: ABORTED ETAG_MISMATCH; FAILED_PRECONDITION
 * NOT_MERGED; CASE_MERGED, CASE_DELETED of the target.
 */
bool case_rules_unmerge(const struct case_context *context, const struct case_record *source,
                        int64_t expected_source, const struct case_record *target,
                        const struct case_conversation *of_source, const struct case_conversation *of_target,
                        struct case_merge *const *merges, size_t merge_count,
                        struct case_merge_change *ret_change, error *err) __attribute__((warn_unused_result));

/* Counts and times of a case anew from all of its messages. `merged`: it reads by sent time. */
bool case_rules_recount(arena *memory, const struct case_conversation *conversation, bool merged,
                        struct case_record *record, error *err) __attribute__((warn_unused_result));

#endif
