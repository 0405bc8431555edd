/* The service's answers as the model's facts, and what differs. */

#include "tests/support/model_wire_private.h"

#include "rpc/wire.h"
#include "tests/support/case_script.h"

#include <inttypes.h>
#include <stdlib.h>

int64_t model_wire_number(const char *name)
{
    return strstr(name, "/cases/") ? strtoll(strstr(name, "/cases/") + 7, NULL, 10) : 0;
}

static int64_t time_of(const Google__Protobuf__Timestamp *wire)
{
    int64_t time_us = 0;
    if (wire && !wire_time_us(wire, &time_us))
        abort();
    return time_us;
}

static int number_of(const char *digits)
{
    return (int)strtol(digits, NULL, 10);
}

static int agent_of(const char *name)
{
    return script_place(model_last_segment(name), script_agents, MODEL_AGENTS + 1);
}

static void see_tags(char *const *wire_labels, size_t label_count,
                     Casework__Cases__V1__Classification *const *wire_classes, size_t class_count,
                     char *const *involved, size_t involved_count, struct model_facts *facts)
{
    for (size_t i = 0; i < label_count && i < MODEL_LIST_MAX; i++)
        facts->labels.items[facts->labels.count++] =
            (uint8_t)script_place(wire_labels[i], script_labels, MODEL_LABELS + 1);
    for (size_t i = 0; i < involved_count && i < MODEL_LIST_MAX; i++)
        facts->involved.items[facts->involved.count++] = (uint8_t)agent_of(involved[i]);
    for (size_t i = 0; i < class_count && i < MODEL_LIST_MAX; i++) {
        facts->classes.items[facts->classes.count++] =
            (uint8_t)script_class_of(wire_classes[i]->group, wire_classes[i]->value);
    }
}

void model_wire_see(const Casework__Cases__V1__Case *wire, struct model_seen *ret_seen)
{
    *ret_seen = (struct model_seen){.number = model_wire_number(wire->name)};
    ret_seen->facts = (struct model_facts){
        .status = (enum case_status)wire->status,
        .owner = agent_of(wire->owner),
        .channel = script_place(model_last_segment(wire->channel), script_channels, ACCOUNT_CHANNELS + 1),
        .priority = wire->priority,
        .subject = script_subject_of(wire->subject),
        .need_reply = wire->need_reply,
        .message_count = wire->message_count,
        .version = wire->version,
        .change_version = wire->change_version,
        .activity_version = wire->activity_version,
        .create_time = time_of(wire->create_time),
        .update_time = time_of(wire->update_time),
        .open_time = time_of(wire->open_time),
        .resolve_time = time_of(wire->resolve_time),
        .close_time = time_of(wire->close_time),
        .delete_time = time_of(wire->delete_time),
        .first_reply_time = time_of(wire->first_reply_time),
        .merged_into = model_wire_number(wire->merged_into),
        .lock_agent = wire->lock ? agent_of(wire->lock->agent) : 0,
        .lock_token = wire->lock ? wire->lock->token : 0,
        .lock_time = wire->lock ? time_of(wire->lock->acquire_time) : 0,
    };
    see_tags(wire->labels, wire->n_labels, wire->classifications, wire->n_classifications,
             wire->involved_agents, wire->n_involved_agents, &ret_seen->facts);
    for (size_t i = 0; i < wire->n_attributes; i++) {
        int key = script_place(wire->attributes[i]->key, script_keys, MODEL_ATTRIBUTES);
        if (key != SCRIPT_UNKNOWN)
            ret_seen->facts.attributes[key] =
                (uint8_t)script_place(wire->attributes[i]->value, script_values, MODEL_VALUES + 1);
    }
    snprintf(ret_seen->contact, sizeof ret_seen->contact, "%s", model_last_segment(wire->contact));
    snprintf(ret_seen->etag, sizeof ret_seen->etag, "%s", wire->etag);
}

void model_wire_see_facts(const Casework__Cases__V1__CaseFacts *wire, struct model_seen *ret_seen)
{
    *ret_seen = (struct model_seen){0};
    ret_seen->facts = (struct model_facts){
        .status = (enum case_status)wire->status,
        .status_before_delete = (enum case_status)wire->status_before_delete,
        .owner = agent_of(wire->owner),
        .channel = script_place(model_last_segment(wire->channel), script_channels, ACCOUNT_CHANNELS + 1),
        .priority = wire->priority,
        .need_reply = wire->need_reply,
        .all_closed = wire->all_customer_messages_closed,
        .message_count = wire->message_count,
        .version = wire->version,
        .change_version = wire->change_version,
        .activity_version = wire->activity_version,
        .change_time = time_of(wire->change_time),
        .activity_time = time_of(wire->activity_time),
        .create_time = time_of(wire->create_time),
        .update_time = time_of(wire->update_time),
        .status_time = time_of(wire->status_time),
        .open_time = time_of(wire->open_time),
        .resolve_time = time_of(wire->resolve_time),
        .close_time = time_of(wire->close_time),
        .delete_time = time_of(wire->delete_time),
        .first_reply_time = time_of(wire->first_reply_time),
        .first_customer_time = time_of(wire->first_customer_message_time),
        .waiting_since_time = time_of(wire->waiting_since_time),
        .merged_into = model_wire_number(wire->merged_into),
    };
    see_tags(wire->labels, wire->n_labels, wire->classifications, wire->n_classifications,
             wire->involved_agents, wire->n_involved_agents, &ret_seen->facts);
    snprintf(ret_seen->contact, sizeof ret_seen->contact, "%s", model_last_segment(wire->contact));
}

void model_wire_see_message(const Casework__Cases__V1__Message *wire, struct model_seen_message *ret_seen)
{
    bool body = strncmp(wire->body, "text ", 5) == 0;
    bool external = wire->external_id[0] == 'x' || wire->external_id[0] == '\0';
    *ret_seen = (struct model_seen_message){
        .number = wire->number,
        .of_case = model_wire_number(wire->name),
        .good = (body || wire->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_TO_THIRD_PARTY) &&
                external,
        .message = {.kind = (enum message_kind)wire->kind,
                    .state = (enum message_state)wire->state,
                    .delivery = (enum delivery_state)wire->delivery,
                    .automatic = wire->automatic,
                    .send_time = time_of(wire->send_time),
                    .create_time = time_of(wire->create_time),
                    .body = wire->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_TO_THIRD_PARTY
                                ? MODEL_COMPOSED
                            : body ? number_of(wire->body + 5)
                                   : 0,
                    .merged_from = model_wire_number(wire->merged_from),
                    .external_id = *wire->external_id ? number_of(wire->external_id + 1) : 0},
    };
    snprintf(ret_seen->author, sizeof ret_seen->author, "%s", model_last_segment(wire->author));
    snprintf(ret_seen->third_party, sizeof ret_seen->third_party, "%s", wire->third_party);
}

/* --- comparing ---------------------------------------------------------------------------------------------
 */

static _Thread_local char difference[512];

static const char *differ_contact(int expected, const char *id, struct model_contacts *contacts)
{
    char *known = contacts->ids[expected];
    if (expected <= ACCOUNT_GIVEN_CONTACTS)
        snprintf(known, MODEL_CONTACT_SIZE, "c%d", expected);
    else if (*known == '\0')
        snprintf(known, MODEL_CONTACT_SIZE, "%s", id);
    if (strcmp(known, id) == 0)
        return NULL;
    snprintf(difference, sizeof difference, "contact is %s, should be %s", id, known);
    return difference;
}

const char *model_wire_differ_facts(const struct model_facts *expected, const struct model_seen *seen,
                                    struct model_contacts *contacts, bool whole)
{
    struct model_facts found = seen->facts;
    const char *contact = differ_contact(expected->contact, seen->contact, contacts);
    if (contact)
        return contact;
    found.contact = expected->contact;
    if (whole) {
        found.subject = expected->subject;
        memcpy(found.attributes, expected->attributes, sizeof found.attributes);
        found.lock_agent = expected->lock_agent;
        found.lock_token = expected->lock_token;
        found.lock_time = expected->lock_time;
        return model_facts_differ(expected, &found);
    }
    found.status_before_delete = expected->status_before_delete;
    if (!expected->lock_agent && !found.lock_token) /* seen only while it stands */
        found.lock_token = expected->lock_token;
    found.all_closed = expected->all_closed;
    found.change_time = expected->change_time;
    found.activity_time = expected->activity_time;
    found.status_time = expected->status_time;
    found.first_customer_time = expected->first_customer_time;
    found.waiting_since_time = expected->waiting_since_time;
    return model_facts_differ(expected, &found);
}

const char *model_wire_differ(const struct model_case *expected, const struct model_seen *seen,
                              struct model_contacts *contacts, bool whole)
{
    if (expected->number == seen->number)
        return model_wire_differ_facts(&expected->facts, seen, contacts, whole);
    snprintf(difference, sizeof difference, "case %" PRId64 ", should be %" PRId64, seen->number,
             expected->number);
    return difference;
}

static void author_of(const struct model_message *message, const struct model_contacts *contacts,
                      char author[MODEL_CONTACT_SIZE])
{
    if (message->kind == MESSAGE_KIND_CUSTOMER)
        snprintf(author, MODEL_CONTACT_SIZE, "%s", contacts->ids[message->contact]);
    else if (message->kind == MESSAGE_KIND_FROM_THIRD_PARTY)
        snprintf(author, MODEL_CONTACT_SIZE, "lab@example.org");
    else if (message->author.kind == ACTOR_KIND_AGENT)
        snprintf(author, MODEL_CONTACT_SIZE, "a%d", message->author.agent);
    else
        author[0] = '\0';
}

const char *model_wire_differ_message(const struct model_case *expected, int number,
                                      const struct model_seen_message *seen, struct model_contacts *contacts)
{
    if (seen->number != number || seen->of_case != expected->number) {
        snprintf(difference, sizeof difference, "message %d of case %" PRId64 ", should be %d of %" PRId64,
                 seen->number, seen->of_case, number, expected->number);
        return difference;
    }
    const struct model_message *should = &expected->messages[number - 1], *is = &seen->message;
    char author[MODEL_CONTACT_SIZE], party[32] = "";
    author_of(should, contacts, author);
    if (should->kind == MESSAGE_KIND_FROM_THIRD_PARTY)
        snprintf(party, sizeof party, "lab@example.org");
    else if (should->third_party)
        snprintf(party, sizeof party, "lab%d@example.org", should->third_party);
    if (seen->good && is->kind == should->kind && is->state == should->state &&
        is->delivery == should->delivery && is->automatic == should->automatic &&
        is->send_time == should->send_time && is->create_time == should->create_time &&
        is->body == should->body && is->external_id == should->external_id &&
        is->merged_from == should->merged_from && strcmp(party, seen->third_party) == 0 &&
        strcmp(author, seen->author) == 0)
        return NULL;
    snprintf(difference, sizeof difference,
             "message %d: kind %d state %d delivery %d sent %" PRId64 " stored %" PRId64
             " author '%s' body %d external id %d from case %" PRId64 "%s, should be %d %d %d %" PRId64
             " %" PRId64 " '%s' %d %d %" PRId64,
             number, (int)is->kind, (int)is->state, (int)is->delivery, is->send_time, is->create_time,
             seen->author, is->body, is->external_id, is->merged_from, seen->good ? "" : ", odd",
             (int)should->kind, (int)should->state, (int)should->delivery, should->send_time,
             should->create_time, author, should->body, should->external_id, should->merged_from);
    return difference;
}

const char *model_wire_differ_results(const struct model_command *command,
                                      const struct account_answer *answer, const struct model_reply *reply)
{
    for (int i = 0; i < command->batch_count; i++) {
        const struct account_result *should = &answer->results[i];
        const struct model_result *is = &reply->results[i];
        if (is->code == should->code &&
            strcmp(is->reason, should->code == STATUS_OK ? "" : should->reason) == 0)
            continue;
        snprintf(difference, sizeof difference, "case %" PRId64 " of it: %s %s, should be %s %s",
                 command->batch[i], status_code_name(is->code), is->reason, status_code_name(should->code),
                 should->reason);
        return difference;
    }
    return NULL;
}
