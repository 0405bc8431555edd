/* The words of a query. */

#include "search/search_query.h"

#include "text/words.h"

#include <string.h>

static bool is_known(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

bool search_query_words(const char *text, arena *memory, const char *const **ret_words, size_t *ret_count,
                        error *err)
{
    size_t length = strlen(text), count = 0, seen = 0, word_length;
    if (length > SEARCH_QUERY_BYTES_MAX)
        return error_bad_field(err, "query", "longer than %d bytes", SEARCH_QUERY_BYTES_MAX);
    const char **words = arena_calloc(memory, SEARCH_QUERY_WORDS_MAX, sizeof *words);
    text_words walk;
    text_words_init(&walk, text, length);
    const char *word;
    bool room = words != NULL;
    while (room && text_words_next(&walk, &word, &word_length)) {
        if (++seen > SEARCH_QUERY_WORDS_MAX)
            break;
        if (is_known(words, count, word))
            continue;
        words[count] = arena_strndup(memory, word, word_length);
        room = words[count++] != NULL;
    }
    room = room && !text_words_failed(&walk);
    text_words_release(&walk);
    if (!room)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "no memory for the query");
    if (seen > SEARCH_QUERY_WORDS_MAX)
        return error_bad_field(err, "query", "more than %d words", SEARCH_QUERY_WORDS_MAX);
    *ret_words = words;
    *ret_count = count;
    return true;
}
