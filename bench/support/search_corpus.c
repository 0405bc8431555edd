#include "bench/support/search_corpus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Ranks of the vocabulary are drawn from a table of quantiles. Rank r has a share of 1 / (r +
 * shift)^exponent, so that the first words stand in nearly every case, rank 20 in about half of them, rank
 * 200 in a tenth, and the last ones in a few of a million.
 */
enum {
    VOCABULARY = 200000,
    QUANTILES = 1 << 20,
    BIG_PERCENT = 70,
    OWNERS = 40,
    LABELS = 20,
    MEMBERS = 20, /* of a family of words that exclude each other */
    FIRST_TIME = 1700000000
};

static const double exponent = 1.05, shift = 2.7;

struct search_corpus {
    uint64_t seed;
    unsigned accounts;
    uint32_t *quantiles; /* rank by quantile */
    uint64_t *seen;      /* by rank: the last case that drew it, plus one */
};

/* --- chance ------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t state_of(const struct search_corpus *corpus, uint64_t ordinal)
{
    uint64_t state = corpus->seed + ordinal * UINT64_C(0xd1342543de82ef95);
    draw(&state);
    return state;
}

/* --- words -------------------------------------------------------------------------------------------- */

/* Syllables of a consonant and a vowel; frequent words are short. */
static void word_of(uint32_t rank, char word[16])
{
    static const char consonants[] = "bcdfghjklmnprst", vowels[] = "aeiou";
    size_t at = 0;
    uint32_t rest = rank * 7 + 3;
    do {
        word[at++] = consonants[rest % 15];
        word[at++] = vowels[rest / 15 % 5];
        rest /= 75;
    } while (rest > 0);
    word[at++] = consonants[rank % 15];
    if (rank >= 1000)
        word[at++] = vowels[rank % 5];
    word[at] = '\0';
}

struct text {
    char *at, *end;
};

static void add(struct text *text, const char *word)
{
    size_t length = strlen(word);
    if (length + 2 > (size_t)(text->end - text->at))
        return;
    memcpy(text->at, word, length);
    text->at[length] = ' ';
    text->at += length + 1;
    *text->at = '\0';
}

static void capital(char *word)
{
    if (*word >= 'a' && *word <= 'z')
        *word = (char)(*word - 'a' + 'A');
}

/* Draws words until `distinct` new ones have come, or the text is full. Some sentences begin and end. */
static void add_words(struct search_corpus *corpus, uint64_t ordinal, uint64_t *state, struct text *text,
                      unsigned distinct)
{
    for (unsigned tries = 0; distinct > 0 && tries < 1000; tries++) {
        uint64_t random = draw(state);
        uint32_t rank = corpus->quantiles[random % QUANTILES];
        char word[20];
        word_of(rank, word);
        if ((random >> 40) % 12 == 0)
            capital(word);
        size_t length = strlen(word);
        if ((random >> 48) % 12 == 0)
            snprintf(word + length, sizeof word - length, "%c", (random >> 56) & 1 ? '.' : ',');
        add(text, word);
        distinct -= corpus->seen[rank] != ordinal + 1;
        corpus->seen[rank] = ordinal + 1;
    }
}

/* --- cases -------------------------------------------------------------------------------------------- */

static const char *const label_names[LABELS] = {
    "Contract Needed", "VIP",      "Refund", "Urgent",   "Legal",   "Shipping", "Billing", "Bug",
    "Feature",         "Renewal",  "Churn",  "Training", "Partner", "Warranty", "Return",  "Complaint",
    "Praise",          "Security", "Outage", "Escalated"};
static const char *const channel_names[] = {"mail", "chat", "phone", "web"};

void search_corpus_account(int account, char ret_name[SEARCH_CORPUS_ACCOUNT_SIZE])
{
    if (account == 0)
        snprintf(ret_name, SEARCH_CORPUS_ACCOUNT_SIZE, "%s", SEARCH_CORPUS_BIG_ACCOUNT);
    else
        snprintf(ret_name, SEARCH_CORPUS_ACCOUNT_SIZE, "small-%04d", account - 1);
}

int64_t search_corpus_time_us(uint64_t ordinal)
{
    return (FIRST_TIME + (int64_t)ordinal) * 1000000;
}

bool search_corpus_is_big(const struct search_corpus *corpus, uint64_t ordinal)
{
    uint64_t state = state_of(corpus, ordinal);
    return corpus->accounts == 0 || draw(&state) % 100 < BIG_PERCENT;
}

static void add_text(struct search_corpus_case *c, enum search_field field, const char *text)
{
    c->texts[c->document.text_count++] = (struct search_text){field, text};
    c->text_bytes += strlen(text);
}

static void make_contact(struct search_corpus_case *c, uint64_t *state)
{
    char first[20], last[20];
    uint64_t contact = draw(state) % 3000000;
    word_of((uint32_t)(contact % 2000), first);
    word_of((uint32_t)(contact % 60000 + 2000), last);
    capital(first);
    capital(last);
    snprintf(c->contact, sizeof c->contact, "p%llu", (unsigned long long)contact);
    snprintf(c->name, sizeof c->name, "%s %s", first, last);
    snprintf(c->email, sizeof c->email, "%s.%s%llu@example.com", first, last, (unsigned long long)contact);
    snprintf(c->phone, sizeof c->phone, "+31 20-%07llu", (unsigned long long)(contact * 7 % 10000000));
}

/* One word of each of two families: no case has two of the same. */
static void add_members(struct text *text, uint64_t random)
{
    char word[24];
    snprintf(word, sizeof word, "even%u", (unsigned)(random % MEMBERS));
    add(text, word);
    snprintf(word, sizeof word, "odd%u", (unsigned)((random >> 32) % MEMBERS));
    add(text, word);
}

void search_corpus_make(struct search_corpus *corpus, uint64_t ordinal, struct search_corpus_case *ret_case)
{
    struct search_corpus_case *c = ret_case;
    uint64_t state = state_of(corpus, ordinal), random = draw(&state);
    bool big = corpus->accounts == 0 || random % 100 < BIG_PERCENT;
    search_corpus_account(big ? 0 : 1 + (int)((random >> 20) % corpus->accounts), c->account);
    c->text_bytes = 0;
    random = draw(&state);
    snprintf(c->id, sizeof c->id, "%llu", (unsigned long long)ordinal + 1);
    snprintf(c->owner, sizeof c->owner, "agent-%u", (unsigned)(random % OWNERS));
    make_contact(c, &state);
    c->labels[0] = label_names[(random >> 8) % LABELS];
    c->document = (struct search_document){
        .number = (int64_t)ordinal + 1,
        .position = (int64_t)ordinal + 1,
        .update_time_us = search_corpus_time_us(ordinal),
        .status = (random >> 16) % 100 < 70 ? 5 : 1 + (int)((random >> 24) % 4),
        .need_reply = (random >> 32) & 1,
        .subject = c->subject,
        .owner = c->owner,
        .channel = channel_names[(random >> 40) % 4],
        .contact = c->contact,
        .labels = c->labels,
        .label_count = (random >> 48) % 3 == 0,
        .texts = c->texts,
    };
    struct text subject = {c->subject, c->subject + sizeof c->subject};
    add_words(corpus, ordinal, &state, &subject, 4 + (unsigned)(random >> 60) % 4);
    capital(c->subject);
    unsigned distinct = 78 + (unsigned)(draw(&state) % 64); /* the rest of the 120 stands elsewhere */
    for (int i = 0; i < SEARCH_CORPUS_MESSAGES; i++) {
        struct text message = {c->messages[i], c->messages[i] + sizeof c->messages[i]};
        char number[32];
        if (i == 0) {
            snprintf(number, sizeof number, "ORD-%" PRIu64, ordinal * 37 + 1000003);
            add(&message, number);
            add_members(&message, draw(&state));
        }
        add_words(corpus, ordinal, &state, &message, distinct / SEARCH_CORPUS_MESSAGES);
    }
    add_text(c, SEARCH_FIELD_SUBJECT, c->subject);
    add_text(c, SEARCH_FIELD_CASE_ID, c->id);
    add_text(c, SEARCH_FIELD_CONTACT_NAME, c->name);
    add_text(c, SEARCH_FIELD_CONTACT_EMAIL, c->email);
    add_text(c, SEARCH_FIELD_CONTACT_PHONE, c->phone);
    if (c->document.label_count > 0)
        add_text(c, SEARCH_FIELD_LABEL, c->labels[0]);
    for (int i = 0; i < SEARCH_CORPUS_MESSAGES; i++)
        add_text(c, SEARCH_FIELD_MESSAGE, c->messages[i]);
}

/* --- queries ------------------------------------------------------------------------------------------ */

/* An order number of the big account. */
static void rare_query(const struct search_corpus *corpus, uint64_t ordinal, uint64_t cases, char *query)
{
    while (!search_corpus_is_big(corpus, ordinal % cases))
        ordinal++;
    snprintf(query, SEARCH_CORPUS_QUERY_SIZE, "%" PRIu64, ordinal % cases * 37 + 1000003);
}

/* `count` words, one of each of as many bands of ranks from `first` on. */
static void vocabulary_query(unsigned turn, unsigned count, uint32_t first, uint32_t band, char *query)
{
    struct text text = {query, query + SEARCH_CORPUS_QUERY_SIZE};
    for (unsigned i = 0; i < count; i++) {
        char word[20];
        word_of(first + i * band + (turn * 7 + i * 3) % band, word);
        add(&text, word);
    }
}

/* Two members of a family. */
static void disjoint_query(unsigned turn, char *query)
{
    const char *family = turn % 2 ? "odd" : "even";
    unsigned member = turn / 2 % MEMBERS;
    snprintf(query, SEARCH_CORPUS_QUERY_SIZE, "%s%u %s%u", family, member, family, (member + 7) % MEMBERS);
}

void search_corpus_query(struct search_corpus *corpus, enum search_corpus_class class, unsigned turn,
                         uint64_t cases, char ret_query[SEARCH_CORPUS_QUERY_SIZE])
{
    /* Ranks of which a million cases have about a hundred, whatever their number. */
    enum { FREQUENT = 10, FREQUENT_BAND = 48, RARE = 100000, RARE_BAND = 20000, FIVE = 100, FIVE_BAND = 40 };
    turn %= SEARCH_CORPUS_ROTATION;
    *ret_query = '\0';
    switch (class) {
    case SEARCH_CORPUS_RARE:
        rare_query(corpus, cases / (SEARCH_CORPUS_ROTATION + 1) * (turn + 1), cases, ret_query);
        break;
    case SEARCH_CORPUS_FREQUENT:
        vocabulary_query(turn, 1, FREQUENT, FREQUENT_BAND, ret_query);
        break;
    case SEARCH_CORPUS_FREQUENT_FREQUENT:
        vocabulary_query(turn, 2, FREQUENT, FREQUENT_BAND, ret_query);
        break;
    case SEARCH_CORPUS_FREQUENT_RARE: {
        char rare[20];
        vocabulary_query(turn, 1, FREQUENT, FREQUENT_BAND, ret_query);
        word_of(RARE + turn * 131 % RARE_BAND, rare);
        size_t length = strlen(ret_query);
        snprintf(ret_query + length, SEARCH_CORPUS_QUERY_SIZE - length, "%s", rare);
        break;
    }
    case SEARCH_CORPUS_DISJOINT:
        disjoint_query(turn, ret_query);
        break;
    case SEARCH_CORPUS_ABSENT:
        snprintf(ret_query, SEARCH_CORPUS_QUERY_SIZE, "nowhere%u", turn);
        break;
    case SEARCH_CORPUS_FIVE:
        vocabulary_query(turn, 5, FIVE, FIVE_BAND, ret_query);
        break;
    case SEARCH_CORPUS_CLASSES:
        break;
    }
}

const char *search_corpus_class_name(enum search_corpus_class class)
{
    static const char *const names[SEARCH_CORPUS_CLASSES] = {
        [SEARCH_CORPUS_RARE] = "rare",
        [SEARCH_CORPUS_FREQUENT] = "frequent",
        [SEARCH_CORPUS_FREQUENT_FREQUENT] = "frequent and frequent",
        [SEARCH_CORPUS_FREQUENT_RARE] = "frequent and rare",
        [SEARCH_CORPUS_DISJOINT] = "disjoint",
        [SEARCH_CORPUS_ABSENT] = "absent",
        [SEARCH_CORPUS_FIVE] = "five words",
    };
    return names[class];
}

/* --- the vocabulary ----------------------------------------------------------------------------------- */

static void fill_quantiles(uint32_t *quantiles)
{
    double whole = 0, sum = 0;
    for (uint32_t rank = 0; rank < VOCABULARY; rank++)
        whole += pow(rank + shift, -exponent);
    uint32_t at = 0;
    for (uint32_t rank = 0; rank < VOCABULARY; rank++) {
        sum += pow(rank + shift, -exponent);
        for (; at < QUANTILES && (double)at < sum / whole * QUANTILES; at++)
            quantiles[at] = rank;
    }
    for (; at < QUANTILES; at++)
        quantiles[at] = VOCABULARY - 1;
}

struct search_corpus *search_corpus_new(uint64_t seed, unsigned accounts)
{
    struct search_corpus *corpus = calloc(1, sizeof *corpus);
    if (!corpus)
        return NULL;
    *corpus = (struct search_corpus){.seed = seed,
                                     .accounts = accounts,
                                     .quantiles = calloc(QUANTILES, sizeof *corpus->quantiles),
                                     .seen = calloc(VOCABULARY, sizeof *corpus->seen)};
    if (!corpus->quantiles || !corpus->seen) {
        search_corpus_free(corpus);
        return NULL;
    }
    fill_quantiles(corpus->quantiles);
    return corpus;
}

void search_corpus_free(struct search_corpus *corpus)
{
    if (!corpus)
        return;
    free(corpus->quantiles);
    free(corpus->seen);
    free(corpus);
}
