#ifndef CASEWORK_CASE_BATCH_RUN_H
#define CASEWORK_CASE_BATCH_RUN_H

/*
 * One command on the overlay. Private to the batch.
 *
 * A method's gather tells the overlay what the command needs to know; its run finds that there and decides. A
 * run that fails must not have changed the overlay: everything that can be refused comes before the first
 * change.
 */

#include "case/case_command.h"
#include "case/case_overlay.h"

#include <stdbool.h>

struct method_ops {
    void (*gather)(struct overlay *overlay, const struct case_command *command);
    bool (*run)(struct overlay *overlay, struct case_command *command, error *err);
};

/* What else a command needs to know, after what was gathered has been read. */
typedef void method_follow(struct overlay *overlay, const struct case_command *command);
method_follow unmerge_follow, receive_follow, forward_follow, redact_follow, erase_follow, erase_step_follow,
    change_follow, many_follow;

extern const struct method_ops account_create_ops, account_update_ops, agent_create_ops, agent_update_ops,
    contact_create_ops, contact_update_ops, channel_create_ops, channel_update_ops, case_create_ops,
    case_change_ops, message_add_ops, message_state_ops, message_receive_ops, conversation_import_ops,
    forward_ops, delivery_report_ops, case_merge_ops, case_unmerge_ops, case_many_ops, timer_step_ops,
    session_attach_ops, session_detach_ops, session_end_ops, tab_open_ops, tab_close_ops, lock_break_ops,
    message_redact_ops, contact_erase_ops, erase_step_ops, account_delete_ops;

/* NOT_FOUND for the resource of that name. Always false. */
bool batch_not_found(error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool batch_out_of_memory(error *err);

/* What was read for the command is no longer so after the commands before it: each of the batch runs again,
 * alone. */
bool batch_run_apart(struct overlay *overlay, error *err);
bool batch_etag_mismatch(error *err);
bool batch_request_id_reused(error *err);

/* An id that nobody has chosen: 12 random characters. NULL: arena full. */
char *batch_new_id(arena *memory);

/* Gives the event its position and puts it into the feed. */
bool batch_tell(struct overlay *overlay, const struct case_event *event, error *err)
    __attribute__((warn_unused_result));

/* An event of the account that is about `resource` ("agents/anna"). */
bool batch_tell_resource(struct overlay *overlay, const struct case_command *command, enum event_kind kind,
                         const char *collection, const char *id, unsigned fields, error *err)
    __attribute__((warn_unused_result));

/* Takes a change over into the overlay: the case, its messages and their external ids, the events. */
bool batch_apply(struct overlay *overlay, struct case_entry *entry, struct case_change *change, error *err)
    __attribute__((warn_unused_result));

/* A new case of the account: number and entry. The account's counter moves with batch_apply_new. */
bool batch_apply_new(struct overlay *overlay, struct account_entry *account, struct case_change *change,
                     error *err) __attribute__((warn_unused_result));

/* New rows, with their events. */
bool batch_insert_account(struct overlay *overlay, const struct case_command *command,
                          const struct account_record *record, error *err)
    __attribute__((warn_unused_result));
bool batch_insert_agent(struct overlay *overlay, const struct case_command *command,
                        const struct agent_record *record, error *err) __attribute__((warn_unused_result));
bool batch_insert_channel(struct overlay *overlay, const struct case_command *command,
                          const struct channel_record *record, error *err)
    __attribute__((warn_unused_result));
bool batch_insert_contact(struct overlay *overlay, const struct case_command *command,
                          const struct contact_record *record, const struct address_keys *addresses,
                          error *err) __attribute__((warn_unused_result));

/* Snapshots for the answer: later commands of the batch go on changing the entries. */
bool batch_answer_case(struct overlay *overlay, struct case_command *command, const struct case_entry *entry,
                       error *err) __attribute__((warn_unused_result));
bool batch_answer_message(struct overlay *overlay, struct case_command *command,
                          const struct message_entry *entry, error *err) __attribute__((warn_unused_result));

bool batch_answer_both(struct overlay *overlay, struct case_command *command, int64_t case_id, int32_t number,
                       error *err) __attribute__((warn_unused_result)); /* number 0: no message */

/* A message into a case that is there, and the answer of both. */
bool batch_run_message(struct overlay *overlay, struct case_command *command, struct case_entry *entry,
                       const struct case_act *wanted, error *err) __attribute__((warn_unused_result));

/* A new case of the account on the channel, with its first message when there is one (NULL: none), and the
 * answer of both. */
bool batch_create_case(struct overlay *overlay, struct case_command *command,
                       const struct case_record *template, const struct channel_record *channel,
                       const struct case_act *message, error *err) __attribute__((warn_unused_result));

/* NULL: NOT_FOUND. */
struct case_entry *batch_existing_case(struct overlay *overlay, const struct case_command *command,
                                       int64_t id, error *err);
const struct message_entry *batch_existing_message(struct overlay *overlay,
                                                   const struct case_command *command, int64_t case_id,
                                                   int32_t number, error *err);

/* Before another agent owns the case: who of its owner and its involved agents has helped with it. `ask` when
 * what was gathered has been read, `know` before the rules decide. */
void batch_ask_of_helpers(struct overlay *overlay, const char *account, int64_t case_id);
bool batch_know_helpers(struct overlay *overlay, struct case_entry *entry, error *err)
    __attribute__((warn_unused_result));

/* An agent who is to own something, or to get it: known and enabled. "" is fine. */
bool batch_check_owner(struct overlay *overlay, const struct case_command *command, const char *owner,
                       error *err) __attribute__((warn_unused_result));

/* The message that has that external id on the case's channel already; NULL: none has. Gather it with
 * overlay_external_of_case. */
const struct external_entry *batch_known_message(struct overlay *overlay, const struct case_record *record,
                                                 const char *external_id);
/* For whoever creates the account: UNAVAILABLE while one of that name is still being deleted. */
void batch_gather_deletion(struct overlay *overlay, const struct case_command *command);
bool batch_check_deletion(struct overlay *overlay, const struct case_command *command, error *err)
    __attribute__((warn_unused_result));

/* The case that the conversation of a merged case is in now; the case itself when it is not merged. NULL: not
 * known. */
struct case_entry *batch_destination(struct overlay *overlay, struct case_entry *entry);

/* May such an act change which case a customer's message goes to? */
bool batch_moves_ways(enum case_act_kind kind);

/* What an earlier merge, or batch of changes, of the same request id is answered with. */
bool batch_answer_merge(struct overlay *overlay, struct case_command *command, int64_t source, error *err)
    __attribute__((warn_unused_result));
bool batch_answer_many(struct overlay *overlay, struct case_command *command, error *err)
    __attribute__((warn_unused_result));

/*
 * After a change of the case that takes its lock away or gives it back to those who wait: what settles the
 * lock goes into the change. Their tabs are known if the command's gather asked for overlay_case_tabs.
 */
bool batch_settle_lock(struct overlay *overlay, const struct case_context *context,
                       const struct case_entry *entry, struct case_change *change, error *err)
    __attribute__((warn_unused_result));

/* An act on the case by the rules; undeleting gives the case to whoever waits for it. */
bool batch_act(struct overlay *overlay, const struct case_context *context, const struct case_act *act,
               const struct case_entry *entry, struct case_change *change, error *err)
    __attribute__((warn_unused_result));

/* Ends all sessions of an agent; agent_sessions of it must have been gathered with `follow`. */
bool batch_end_agent_sessions(struct overlay *overlay, const struct case_command *command, const char *agent,
                              error *err) __attribute__((warn_unused_result));

struct case_context batch_case_context(const struct overlay *overlay, const struct case_command *command,
                                       const struct account_entry *account);

#endif
