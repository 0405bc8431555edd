/*
 * The files of bench/support/search_data.h, for all sides of the search benchmark.
 *
 *     search_corpus CASES FOLDER          prints a line of JSON: the size of all texts
 */

#include "bench/support/search_corpus.h"
#include "bench/support/search_data.h"
#include "text/fold.h"
#include "text/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 2000, UPDATES = 2000, CONTACT_CASES = 10000, SUBJECT_MAX = 4096 };

static bool write_failed(const char *what)
{
    fprintf(stderr, "search_corpus: %s: %s\n", what, strerror(errno));
    return false;
}

/* --- words --- */

/* The words of a case, folded, each once, sorted. */
struct words {
    char *texts;
    size_t length, size;
    size_t offsets[WORDS_MAX];
    const char *sorted[WORDS_MAX];
    size_t count;
};

static void add_word(struct words *words, const char *word, size_t length)
{
    if (words->count == WORDS_MAX || words->length + length + 1 > words->size)
        return;
    words->offsets[words->count++] = words->length;
    memcpy(words->texts + words->length, word, length + 1);
    words->length += length + 1;
}

static void add_text(struct words *words, const char *text)
{
    text_words split;
    const char *word;
    size_t length;
    text_words_init(&split, text, strlen(text));
    while (text_words_next(&split, &word, &length))
        add_word(words, word, length);
    text_words_release(&split);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_words(struct words *words, FILE *out)
{
    for (size_t i = 0; i < words->count; i++)
        words->sorted[i] = words->texts + words->offsets[i];
    qsort(words->sorted, words->count, sizeof *words->sorted, compare);
    const char *last = NULL;
    for (size_t i = 0; i < words->count; i++) {
        if (last && strcmp(last, words->sorted[i]) == 0)
            continue;
        if (last)
            fputc(' ', out);
        last = words->sorted[i];
        fputs(last, out);
    }
}

static void collect(struct words *words, const struct search_document *document)
{
    words->count = words->length = 0;
    for (size_t i = 0; i < document->text_count; i++)
        add_text(words, document->texts[i].text);
}

/* --- files --- */

static int account_number(const char *account)
{
    const char *digits = strrchr(account, '-');
    return digits ? 1 + (int)strtol(digits + 1, NULL, 10) : 0;
}

/* What both kinds of lines end with. The contact is a number there. */
static void print_tail(const struct search_corpus_case *c, struct words *words, FILE *out)
{
    bytes subject;
    bytes_init(&subject, SUBJECT_MAX);
    if (!text_fold_append(&subject, c->subject, strlen(c->subject)))
        abort();
    fprintf(out, "%d\t%s\t%.*s\t", c->document.status, c->contact + 1, (int)subject.length, subject.data);
    bytes_release(&subject);
    print_words(words, out);
    fputc('\n', out);
}

/* Returns the size of all texts. */
static uint64_t print_cases(struct search_corpus *corpus, uint64_t cases, struct words *words, FILE *out)
{
    static struct search_corpus_case c;
    uint64_t text_bytes = 0;
    for (uint64_t i = 0; i < cases; i++) {
        search_corpus_make(corpus, i, &c);
        collect(words, &c.document);
        fprintf(out, "%d\t%" PRId64 "\t%" PRId64 "\t", account_number(c.account), c.document.number,
                c.document.update_time_us);
        print_tail(&c, words, out);
        text_bytes += c.text_bytes;
    }
    return text_bytes;
}

/* The generator's queries name the most frequent word first. */
static void print_reversed(char *query, FILE *out)
{
    size_t length = strlen(query);
    while (length > 0 && query[length - 1] == ' ')
        query[--length] = '\0';
    for (char *space; (space = strrchr(query, ' ')); *space = '\0')
        fprintf(out, "%s ", space + 1);
    fprintf(out, "%s\n", query);
}

static void print_queries(struct search_corpus *corpus, uint64_t cases, FILE *out)
{
    static const char *const names[SEARCH_CORPUS_CLASSES] = {"rare",     "frequent", "freq_freq", "freq_rare",
                                                             "disjoint", "absent",   "five_words"};
    char query[SEARCH_CORPUS_QUERY_SIZE];
    for (unsigned class = 0; class < SEARCH_CORPUS_CLASSES; class ++) {
        for (unsigned turn = 0; turn < SEARCH_CORPUS_ROTATION; turn++) {
            search_corpus_query(corpus, (enum search_corpus_class) class, turn, cases, query);
            fprintf(out, "%s\t0\t", names[class]);
            print_reversed(query, out);
        }
    }
    for (unsigned account = 0; account < SEARCH_CORPUS_SMALL_ACCOUNTS; account++) {
        search_corpus_query(corpus, SEARCH_CORPUS_FREQUENT, account, cases, query);
        fprintf(out, "small\t%u\t", account + 1);
        print_reversed(query, out);
    }
}

/* --- updates --- */

/* A case of the big account, another one each time. */
static uint64_t next_case(const struct search_corpus *corpus, uint64_t cases, uint64_t *turn)
{
    uint64_t ordinal;
    do
        ordinal = (*turn)++ * UINT64_C(7919) % cases;
    while (!search_corpus_is_big(corpus, ordinal));
    return ordinal;
}

/* A message of thirty words: those of another case's. */
static void add_message(struct search_corpus *corpus, uint64_t ordinal, uint64_t cases, struct words *words)
{
    static struct search_corpus_case other;
    search_corpus_make(corpus, (ordinal + cases / 2) % cases, &other);
    add_text(words, other.messages[SEARCH_CORPUS_MESSAGES - 1]);
}

static void print_update(struct search_corpus *corpus, uint64_t cases, const char *kind, const char *what,
                         uint64_t ordinal, struct words *words, FILE *out)
{
    static struct search_corpus_case c;
    search_corpus_make(corpus, ordinal, &c);
    collect(words, &c.document);
    if (strcmp(what, "label") == 0)
        add_text(words, "Second Line");
    else if (strcmp(what, "message") == 0)
        add_message(corpus, ordinal, cases, words);
    else if (strcmp(what, "contact") == 0)
        add_text(words, "Renamed");
    fprintf(out, "%s\t%" PRIu64 "\t%d\t%" PRId64 "\t", kind, ordinal, account_number(c.account),
            c.document.number);
    print_tail(&c, words, out);
}

static void print_updates(struct search_corpus *corpus, uint64_t cases, struct words *words, FILE *out)
{
    static const char *const kinds[] = {"touch", "label", "message"};
    uint64_t turn = 0, contact_cases = cases / 10 < CONTACT_CASES ? cases / 10 : CONTACT_CASES;
    uint64_t updates = cases / 20 < UPDATES ? cases / 20 : UPDATES;
    for (size_t kind = 0; kind < 3; kind++)
        for (uint64_t i = 0; i < updates; i++)
            print_update(corpus, cases, kinds[kind], kinds[kind], next_case(corpus, cases, &turn), words,
                         out);
    for (uint64_t i = 0; i < contact_cases; i++)
        print_update(corpus, cases, "contact", "contact", next_case(corpus, cases, &turn), words, out);
    for (uint64_t i = 0; i < updates; i++)
        print_update(corpus, cases, "delete", "", next_case(corpus, cases, &turn), words, out);
    turn = 1;
    for (uint64_t i = 0; i < 10 * updates; i++)
        print_update(corpus, cases, "mixed", kinds[i % 3], next_case(corpus, cases, &turn), words, out);
}

/* --- the folder --- */

static FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "we");
    if (!out)
        write_failed(path);
    return out;
}

static bool finish(FILE *out, const char *name)
{
    bool done = !ferror(out);
    return (fclose(out) == 0 && done) || write_failed(name);
}

int main(int argc, char **argv)
{
    static struct words words;
    struct search_corpus *corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
    uint64_t cases = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    words.size = 1 << 20;
    words.texts = malloc(words.size);
    if (!corpus || !words.texts || cases < 1000) {
        fprintf(stderr, "usage: search_corpus CASES FOLDER, at least 1000 cases\n");
        return 2;
    }
    FILE *lines = create(argv[2], "cases.tsv"), *queries = create(argv[2], "queries.tsv"),
         *updates = create(argv[2], "updates.tsv");
    if (!lines || !queries || !updates)
        return 1;
    uint64_t text_bytes = print_cases(corpus, cases, &words, lines);
    print_queries(corpus, cases, queries);
    print_updates(corpus, cases, &words, updates);
    bool done = finish(lines, "cases.tsv");
    done = finish(queries, "queries.tsv") && done;
    done = finish(updates, "updates.tsv") && done;
    printf("{\"peer\": \"\", \"phase\": \"corpus\", \"class\": \"\", \"text_bytes\": %" PRIu64 "}\n",
           text_bytes);
    free(words.texts);
    search_corpus_free(corpus);
    return done ? 0 : 1;
}
