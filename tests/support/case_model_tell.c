/* What a model says when something differs. */

#include "tests/support/case_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const model_verb_names[MODEL_VERBS] = {
    "create",      "open",      "mark pending", "resolve",   "reopen",       "close",
    "delete",      "undelete",  "assign",       "update",    "classify",     "declassify",
    "add message", "set state", "setting",      "receive",   "forward case", "forward message",
    "label",       "unlabel",   "merge",        "unmerge",   "batch",        "attach",
    "cut",         "log out",   "open tab",     "close tab", "break lock"};

static _Thread_local char difference[256];

static bool differ_number(const char *name, int64_t expected, int64_t found)
{
    if (expected == found)
        return false;
    snprintf(difference, sizeof difference, "%s is %" PRId64 ", should be %" PRId64, name, found, expected);
    return true;
}

static void list_text(const struct model_list *list, char text[64])
{
    size_t length = 0;
    text[0] = '\0';
    for (int i = 0; i < list->count; i++)
        length += (size_t)snprintf(text + length, 64 - length, " %d", list->items[i]);
}

static bool differ_list(const char *name, const struct model_list *expected, const struct model_list *found)
{
    char should[64], is[64];
    if (model_list_equal(expected, found))
        return false;
    list_text(expected, should);
    list_text(found, is);
    snprintf(difference, sizeof difference, "%s are [%s ], should be [%s ]", name, is, should);
    return true;
}

const char *model_facts_differ(const struct model_facts *expected, const struct model_facts *found)
{
#define NUMBER(field) differ_number(#field, (int64_t)expected->field, (int64_t)found->field)
#define LIST(field) differ_list(#field, &expected->field, &found->field)
    bool differ = NUMBER(status) || NUMBER(status_before_delete) || NUMBER(owner) || NUMBER(contact) ||
                  NUMBER(channel) || LIST(involved) || LIST(labels) || LIST(classes) ||
                  NUMBER(attributes[0]) || NUMBER(attributes[1]) || NUMBER(attributes[2]) ||
                  NUMBER(priority) || NUMBER(subject) || NUMBER(need_reply) || NUMBER(all_closed) ||
                  NUMBER(message_count) || NUMBER(version) || NUMBER(change_version) ||
                  NUMBER(activity_version) || NUMBER(change_time) || NUMBER(activity_time) ||
                  NUMBER(create_time) || NUMBER(update_time) || NUMBER(status_time) || NUMBER(open_time) ||
                  NUMBER(resolve_time) || NUMBER(close_time) || NUMBER(delete_time) ||
                  NUMBER(first_reply_time) || NUMBER(first_customer_time) || NUMBER(waiting_since_time) ||
                  NUMBER(merged_into) || NUMBER(lock_agent) || NUMBER(lock_token) || NUMBER(lock_time);
#undef NUMBER
#undef LIST
    return differ ? difference : NULL;
}

static void print_actor(const struct model_actor *actor, FILE *file)
{
    if (actor->kind == ACTOR_KIND_AGENT)
        fprintf(file, " by agent %d", actor->agent);
    else
        fputs(actor->kind == ACTOR_KIND_CONNECTOR ? " by a connector" : " by a service", file);
}

static void print_message(const struct model_command *command, FILE *file)
{
    static const char *const kinds[] = {
        "", "customer's", "reply", "note", "to a third party", "from a third party", "system", "survey"};
    fprintf(file, " [%s%s", command->automatic ? "automatic " : "", kinds[command->kind]);
    if (command->sent)
        fprintf(file, ", sent %" PRId64, command->sent);
    if (command->external_id)
        fprintf(file, ", external id %d", command->external_id);
    fputs(command->then == AFTER_SEND_RESOLVE        ? ", then resolve]"
          : command->then == AFTER_SEND_MARK_PENDING ? ", then mark pending]"
                                                     : "]",
          file);
}

void model_command_print(const struct model_command *command, FILE *file)
{
    char list[64];
    fputs(model_verb_names[command->verb], file);
    if (command->number)
        fprintf(file, " case %" PRId64, command->number);
    print_actor(&command->actor, file);
    if (command->expected_version)
        fprintf(file, " at version %" PRId64, command->expected_version);
    if (command->request_id)
        fprintf(file, " request %d", command->request_id);
    if (command->verb == MODEL_ADD_MESSAGE || command->verb == MODEL_RECEIVE || command->has_message)
        print_message(command, file);
    if (command->verb == MODEL_ASSIGN || command->verb == MODEL_CREATE)
        fprintf(file, " owner %d", command->owner);
    if (command->verb == MODEL_SET_STATE)
        fprintf(file, " message %d to %d", command->message, (int)command->state);
    if (command->verb == MODEL_CLOSE)
        fprintf(file, " rule %d basis %" PRId64 " due %" PRId64, (int)command->rule, command->basis_version,
                command->due_time);
    if (command->verb == MODEL_UPDATE) {
        list_text(&command->labels, list);
        fprintf(file, " fields %x subject %d priority %d labels%s attributes %d %d %d", command->fields,
                command->subject, command->priority, list, command->attributes[0], command->attributes[1],
                command->attributes[2]);
    }
    if (command->classes.count && command->verb != MODEL_CREATE) {
        list_text(&command->classes, list);
        fputs(list, file);
    }
    if (command->verb == MODEL_MERGE)
        fprintf(file, " into %" PRId64, command->target);
    if (command->verb == MODEL_FORWARD_CASE || command->verb == MODEL_FORWARD_MESSAGE)
        fprintf(file, " message %d to agent %d, third party %d, note %d", command->message, command->agent,
                command->third_party, command->note);
    if (command->verb == MODEL_BATCH) {
        fprintf(file, " %s of", model_verb_names[command->act]);
        for (int i = 0; i < command->batch_count; i++)
            fprintf(file, " %" PRId64, command->batch[i]);
        list_text(&command->labels, list);
        fprintf(file, ", owner %d priority %d labels%s", command->owner, command->priority, list);
    }
    if (command->session)
        fprintf(file, " session %d", command->session);
    if (command->verb == MODEL_BREAK_LOCK)
        fprintf(file, " token %" PRId64, command->token);
    if (command->verb == MODEL_SETTING)
        fputs(command->setting ? " on" : " off", file);
}
