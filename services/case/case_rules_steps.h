#ifndef CASEWORK_CASE_RULES_STEPS_H
#define CASEWORK_CASE_RULES_STEPS_H

/* The steps that acts are made of. Private to the rules. */

#include "case/case_rules.h"

/* Rows of the transition table; closing is decided apart, by its rule. */
enum case_row {
    CASE_ROW_OPENED,
    CASE_ROW_REPLIED,
    CASE_ROW_CUSTOMER_WROTE,
    CASE_ROW_MARKED_PENDING,
    CASE_ROW_RESOLVED,
    CASE_ROW_REOPENED,
    CASE_ROW_DELETED,
    CASE_ROW_UNDELETED,
    CASE_ROWS,
};

enum { CASE_STAYS = 0, CASE_REFUSED = -1, CASE_GOES_BACK = -2 };

/* Where the row takes a case of that status: a status, or one of the three above. */
int case_transition(enum case_row row, enum case_status from);

/* Refused because of where the case stands; and only the status in the details. Always false. */
bool case_step_tell_status(const struct case_record *record, error *err);
bool case_step_refuse(const struct case_record *record, error *err);
/* CASE_MERGED, with the case where it went in the details. Always false. */
bool case_step_refuse_merged(const struct case_record *record, error *err);
bool case_step_out_of_memory(error *err);

/* An event with the facts as they are now; the version grows, and the timers' bases with what restarts them.
 * NULL: arena full. */
struct case_event *case_step_event(const struct case_context *context, struct case_change *change,
                                   enum event_kind kind, const struct message_record *message, error *err);

/* One of a kind that restarts the resolved rule otherwise: of the priority alone, or of involved agents. */
struct case_event *case_step_minor_event(const struct case_context *context, struct case_change *change,
                                         enum event_kind kind, error *err);

/* Moves the case. `to` CASE_STAYS: nothing. Times that belong to statuses are set and taken back. */
bool case_step_status(const struct case_context *context, struct case_change *change, int to,
                      enum event_kind kind, error *err);

/* An agent's changing act on a new case opens it first. Nothing when somebody else acts or the case is not
 * new. */
bool case_step_open_first(const struct case_context *context, struct case_change *change, error *err);

/* The agent ("": nobody) owns the case, and is not among those who help any more. */
bool case_step_own(const struct case_context *context, const char *agent, struct case_change *change,
                   error *err);

/* The event that tells who owned it until now, who is still `involved` if told so. */
bool case_step_tell_owner(const struct case_context *context, const char *previous, bool involved,
                          struct case_change *change, error *err);

/* Raises all customer messages that are below `to`; true if there were any. */
bool case_step_raise(struct case_change *change, enum message_state to);

/* The counter of customer messages in that state; NULL for those that are not counted. */
int32_t *case_step_counter(struct case_record *record, enum message_state state);

bool text_list_has(const struct text_list *list, const char *text);

/* A copy of the list with `text` behind or without it. False: arena full. */
bool text_list_add(arena *memory, const struct text_list *list, const char *text, struct text_list *ret);
bool text_list_remove(arena *memory, const struct text_list *list, const char *text, struct text_list *ret);

/*
 * Numbers a message, brings the case's counts up to date and puts the message into the change; then the event
 * that tells it.
 */
struct message_record *case_step_store_message(const struct case_context *context,
                                               const struct message_record *given, struct case_change *change,
                                               error *err);
bool case_step_tell_message(const struct case_context *context, const struct message_record *message,
                            struct case_change *change, error *err);

/* The agent has helped: who is neither owner nor involved becomes involved. */
bool case_step_involve(const struct case_context *context, const char *agent, struct case_change *change,
                       error *err);

/* CASE_ACT_FORWARD and CASE_ACT_REPORT_DELIVERY. */
bool case_rules_forward(const struct case_context *context, const struct case_act *act,
                        struct case_change *change, error *err);
bool case_rules_report_delivery(const struct case_context *context, const struct case_act *act,
                                struct case_change *change, error *err);

/* The message row of CASE_ACT_ADD_MESSAGE, and CASE_ACT_SET_MESSAGE_STATE. */
bool case_rules_add_message(const struct case_context *context, const struct case_act *act,
                            struct case_change *change, error *err);
bool case_rules_set_message_state(const struct case_context *context, const struct case_act *act,
                                  struct case_change *change, error *err);

/* CASE_ACT_ADD_LABELS and CASE_ACT_REMOVE_LABELS. */
bool case_rules_label(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err);

/* CASE_ACT_RECORD_TIMER_STEP. */
bool case_rules_timer_step(const struct case_context *context, const struct case_act *act,
                           struct case_change *change, error *err);

/* CASE_ACT_REDACT_MESSAGE and CASE_ACT_ERASE: whatever the case's status, and nothing that a timer counts. */
bool case_rules_redact_message(const struct case_context *context, const struct case_act *act,
                               struct case_change *change, error *err);
bool case_rules_erase(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err);

/* Nothing is written any more into the case of a contact that was erased. */
bool case_rules_check_erased(const struct case_act *act, const struct case_record *before, error *err);

#endif
