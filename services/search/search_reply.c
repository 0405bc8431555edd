#include "search/search_reply.h"

#include "base/clock.h"
#include "rpc/wire_writer.h"

#include <limits.h>

/* Fields of casework.search.v1.SearchCasesResponse, SearchResult and SearchMatch, and of Timestamp. */
enum {
    RESPONSE_RESULTS = 1,
    RESPONSE_QUERY_WORDS,
    RESPONSE_TOTAL_SIZE,
    RESPONSE_NEXT_PAGE_TOKEN,
    RESPONSE_INDEXED_POSITION
};
enum {
    RESULT_CASE = 1,
    RESULT_SUBJECT,
    RESULT_STATUS,
    RESULT_OWNER,
    RESULT_UPDATE_TIME,
    RESULT_NEED_REPLY,
    RESULT_MATCHES
};
enum { MATCH_WORD = 1, MATCH_FIELD };
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS };

enum { SEARCH_FIELDS = 8 };

#define ACCOUNTS "accounts/"
#define CASES "/cases/"
#define AGENTS "/agents/"

/* The lengths of texts that come up in each result. */
struct reply_writer {
    struct wire_writer wire;
    const struct search_reply *reply;
    size_t account_length;
    size_t word_lengths[SEARCH_QUERY_WORDS_MAX];
};

/* --- room --------------------------------------------------------------------------------------------- */

static size_t result_room(const struct reply_writer *writer, const struct search_result *result)
{
    enum { FIELDS = 10, DIGITS = 20 };
    size_t room = FIELDS * WIRE_FIELD_MAX + DIGITS + 2 * writer->account_length + strlen(result->subject) +
                  strlen(result->owner) + sizeof ACCOUNTS CASES ACCOUNTS AGENTS;
    for (size_t i = 0; i < writer->reply->query->word_count; i++)
        room += (size_t)__builtin_popcount(result->fields[i]) *
                (writer->word_lengths[i] + (size_t)3 * WIRE_FIELD_MAX);
    return room;
}

static size_t reply_room(const struct reply_writer *writer)
{
    enum { FIELDS = 3 };
    const struct search_reply *reply = writer->reply;
    size_t room = FIELDS * WIRE_FIELD_MAX + strlen(reply->next_page_token);
    for (size_t i = 0; i < reply->query->word_count; i++)
        room += WIRE_FIELD_MAX + writer->word_lengths[i];
    for (size_t i = 0; i < reply->answer->count; i++)
        room += result_room(writer, &reply->answer->results[i]);
    return room;
}

/* --- writing, last fields first ----------------------------------------------------------------------- */

static void put_matches(struct reply_writer *writer, const struct search_result *result)
{
    struct wire_writer *wire = &writer->wire;
    const struct search_query *query = writer->reply->query;
    for (size_t i = query->word_count; i-- > 0;)
        for (int field = SEARCH_FIELDS; result->fields[i] && field > 0; field--) {
            if (!(result->fields[i] & SEARCH_FIELD_BIT(field)))
                continue;
            const unsigned char *match_end = wire->at;
            wire_put_number(wire, MATCH_FIELD, field);
            const unsigned char *word_end = wire->at;
            wire_put_bytes(wire, query->words[i], writer->word_lengths[i]);
            wire_put_nested(wire, MATCH_WORD, word_end);
            wire_put_nested(wire, RESULT_MATCHES, match_end);
        }
}

static void put_time(struct wire_writer *wire, int64_t time_us)
{
    if (time_us == 0)
        return;
    const unsigned char *end = wire->at;
    int64_t rest = time_us % CLOCK_SECOND;
    rest += rest < 0 ? CLOCK_SECOND : 0;
    wire_put_number(wire, TIMESTAMP_NANOS, rest * 1000);
    wire_put_number(wire, TIMESTAMP_SECONDS, (time_us - rest) / CLOCK_SECOND);
    wire_put_nested(wire, RESULT_UPDATE_TIME, end);
}

/* "accounts/{account}/…/" in front of an id that goes up to `end`. */
static void put_name(struct reply_writer *writer, unsigned field, const char *collection,
                     const unsigned char *end)
{
    struct wire_writer *wire = &writer->wire;
    wire_put_bytes(wire, collection, strlen(collection));
    wire_put_bytes(wire, writer->reply->account, writer->account_length);
    wire_put_bytes(wire, ACCOUNTS, strlen(ACCOUNTS));
    wire_put_nested(wire, field, end);
}

static void put_owner(struct reply_writer *writer, const char *owner)
{
    const unsigned char *end = writer->wire.at;
    if (!*owner)
        return;
    wire_put_bytes(&writer->wire, owner, strlen(owner));
    put_name(writer, RESULT_OWNER, AGENTS, end);
}

static void put_result(struct reply_writer *writer, const struct search_result *result)
{
    struct wire_writer *wire = &writer->wire;
    const unsigned char *end = wire->at;
    put_matches(writer, result);
    wire_put_number(wire, RESULT_NEED_REPLY, result->need_reply);
    put_time(wire, result->update_time_us);
    put_owner(writer, result->owner);
    wire_put_number(wire, RESULT_STATUS, result->status);
    wire_put_text(wire, RESULT_SUBJECT, result->subject);
    const unsigned char *number_end = wire->at;
    wire_put_digits(wire, (uint64_t)result->number);
    put_name(writer, RESULT_CASE, CASES, number_end);
    wire_put_nested(wire, RESPONSE_RESULTS, end);
}

bool search_reply_write(const struct search_reply *reply, arena *memory, const unsigned char **ret_data,
                        size_t *ret_length)
{
    struct reply_writer writer = {.reply = reply, .account_length = strlen(reply->account)};
    const struct search_query *query = reply->query;
    const struct search_answer *answer = reply->answer;
    for (size_t i = 0; i < query->word_count; i++)
        writer.word_lengths[i] = strlen(query->words[i]);
    size_t room = reply_room(&writer);
    unsigned char *data = arena_alloc(memory, room);
    if (!data)
        return false;
    struct wire_writer *wire = &writer.wire;
    wire->at = data + room;
    wire_put_number(wire, RESPONSE_INDEXED_POSITION, reply->indexed_position);
    wire_put_text(wire, RESPONSE_NEXT_PAGE_TOKEN, reply->next_page_token);
    wire_put_number(wire, RESPONSE_TOTAL_SIZE,
                    answer->total > INT32_MAX ? INT32_MAX : (int64_t)answer->total);
    for (size_t i = query->word_count; i-- > 0;)
        wire_put_item(wire, RESPONSE_QUERY_WORDS, query->words[i]);
    for (size_t i = answer->count; i-- > 0;)
        put_result(&writer, &answer->results[i]);
    *ret_data = wire->at;
    *ret_length = (size_t)(data + room - wire->at);
    return true;
}
