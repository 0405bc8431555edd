#include "search/search_reader.h"

#include "base/clock.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

enum { BATCH = 200, BATCH_BYTES_MAX = 128 << 20 };

#define READ_TIMEOUT (30 * CLOCK_SECOND)

typedef Casework__Cases__V1__Document wire_document;
typedef Casework__Cases__V1__BatchGetDocumentsResponse wire_batch;

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to read cases");
}

/* The last segment of a resource name; "" of none. */
static const char *last_segment(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : "";
}

static void add_text(struct search_document *document, struct search_text *texts, enum search_field field,
                     const char *text)
{
    texts[document->text_count++] = (struct search_text){field, text};
}

static void add_texts(struct search_document *document, struct search_text *texts, enum search_field field,
                      char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_text(document, texts, field, values[i]);
}

/* A document as the index takes it; its texts stay those of the message. */
static bool translate(const wire_document *wire, int64_t number, arena *memory,
                      struct search_document *ret_document, error *err)
{
    enum { SINGLE_TEXTS = 4 }; /* subject, id, the contact's name and note */
    size_t texts_max =
        SINGLE_TEXTS + wire->n_contact_emails + wire->n_contact_phones + wire->n_labels + wire->n_messages;
    struct search_text *texts = arena_calloc(memory, texts_max, sizeof *texts);
    if (!texts)
        return out_of_memory(err);
    struct search_document document = {.number = number,
                                       .position = wire->position,
                                       .status = (int)wire->status,
                                       .need_reply = wire->need_reply,
                                       .subject = wire->subject,
                                       .owner = last_segment(wire->owner),
                                       .channel = last_segment(wire->channel),
                                       .contact = last_segment(wire->contact),
                                       .labels = (const char *const *)wire->labels,
                                       .label_count = wire->n_labels,
                                       .texts = texts};
    if (!wire_time_us(wire->update_time, &document.update_time_us) || document.status < 0 ||
        document.status > SEARCH_STATUS_MAX)
        return error_set(err, STATUS_INTERNAL, "", "a case that makes no sense");
    add_text(&document, texts, SEARCH_FIELD_SUBJECT, wire->subject);
    add_text(&document, texts, SEARCH_FIELD_CASE_ID, last_segment(wire->case_));
    add_text(&document, texts, SEARCH_FIELD_CONTACT_NAME, wire->contact_display_name);
    add_text(&document, texts, SEARCH_FIELD_CONTACT_NOTE, wire->contact_note);
    add_texts(&document, texts, SEARCH_FIELD_CONTACT_EMAIL, wire->contact_emails, wire->n_contact_emails);
    add_texts(&document, texts, SEARCH_FIELD_CONTACT_PHONE, wire->contact_phones, wire->n_contact_phones);
    add_texts(&document, texts, SEARCH_FIELD_LABEL, wire->labels, wire->n_labels);
    for (size_t i = 0; i < wire->n_messages; i++)
        add_text(&document, texts, SEARCH_FIELD_MESSAGE, wire->messages[i]->body);
    *ret_document = document;
    return true;
}

/* Where documents come from, and where they go. */
struct reading {
    rpc_channel *cases;
    enum search_reader_patience patience;
    search_reader_take *take;
    void *context;
};

/* Cases of one account that were read together. */
struct run {
    const char *account;
    struct search_change changes[BATCH];
    size_t count;
};

static bool hand_over(const struct reading *reading, struct run *run, error *err)
{
    size_t count = run->count;
    run->count = 0;
    return count == 0 || reading->take(reading->context, run->account, run->changes, count, err);
}

static bool add(const struct reading *reading, struct run *run, const wire_document *wire, arena *memory,
                error *err)
{
    const char *account;
    int64_t number;
    struct search_document *document = NULL;
    if (!rpc_name_case(memory, wire->case_, "case", &account, &number, err))
        return false;
    if (wire->state != CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_MISSING &&
        (!(document = arena_alloc(memory, sizeof *document)) ||
         !translate(wire, number, memory, document, err)))
        return document ? false : out_of_memory(err);
    if (run->count && strcmp(run->account, account) != 0 && !hand_over(reading, run, err))
        return false;
    run->account = account;
    run->changes[run->count++] =
        (struct search_change){.number = number, .document = document, .position = wire->position};
    return true;
}

static bool read_batch(const struct reading *reading, char **names, size_t count, arena *memory,
                       wire_batch **ret_batch, error *err)
{
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    request.parent = "accounts/-";
    request.names = names;
    request.n_names = count;
    const struct rpc_client_options options = {.timeout_us = READ_TIMEOUT,
                                               .no_retry = reading->patience == SEARCH_READER_ONCE};
    ProtobufCMessage *response;
    if (!rpc_client_call(reading->cases, &casework__cases__v1__event_service__descriptor, "BatchGetDocuments",
                         &request.base, &options, memory, &response, err))
        return false;
    wire_batch *batch = (wire_batch *)response;
    if (batch->n_documents == 0 || batch->n_documents > count)
        return error_set(err, STATUS_INTERNAL, "", "the case service answered no cases");
    *ret_batch = batch;
    return true;
}

/* Cases are answered in order, as far as they find room: those behind are asked for again. */
static bool take_batch(const struct reading *reading, const wire_batch *batch, char **names, arena *memory,
                       size_t *done, error *err)
{
    struct run run = {.count = 0};
    size_t taken = 0;
    while (taken < batch->n_documents && strcmp(batch->documents[taken]->case_, names[taken]) == 0) {
        if (!add(reading, &run, batch->documents[taken], memory, err))
            return false;
        taken++;
    }
    *done += taken;
    return taken > 0 ? hand_over(reading, &run, err)
                     : error_set(err, STATUS_INTERNAL, "", "the case service answered other cases");
}

static bool read_names(const struct reading *reading, char **names, size_t count, arena *memory, error *err)
{
    size_t done = 0;
    while (done < count) {
        wire_batch *batch = NULL;
        arena_clear(memory);
        size_t size = count - done < BATCH ? count - done : BATCH;
        if (!read_batch(reading, names + done, size, memory, &batch, err) ||
            !take_batch(reading, batch, names + done, memory, &done, err))
            return false;
    }
    return true;
}

bool search_reader_read(rpc_channel *cases, const struct search_case *wanted, size_t count,
                        enum search_reader_patience patience, arena *memory, search_reader_take *take,
                        void *context, error *err)
{
    char **names = arena_calloc(memory, count + 1, sizeof(char *));
    arena *batch_memory = names ? arena_new(BATCH_BYTES_MAX) : NULL;
    bool done = batch_memory != NULL;
    for (size_t i = 0; done && i < count; i++) {
        names[i] =
            arena_printf(memory, "accounts/%s/cases/%lld", wanted[i].account, (long long)wanted[i].number);
        done = names[i] != NULL;
    }
    const struct reading reading = {cases, patience, take, context};
    done = done ? read_names(&reading, names, count, batch_memory, err) : out_of_memory(err);
    arena_free(batch_memory);
    return done;
}

static bool file(void *context, const char *account, const struct search_change *changes, size_t count,
                 error *err)
{
    return search_index_apply(context, account, changes, count, err);
}

bool search_reader_refresh(rpc_channel *cases, search_index *index, const struct search_case *changed,
                           size_t count, enum search_reader_patience patience, arena *memory, error *err)
{
    return search_reader_read(cases, changed, count, patience, memory, file, index, err);
}
