#include "bench/support/search_data.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIELDS_MAX = 8, WORDS_MAX = 64 };

struct search_data_reader {
    char *text; /* the file, mapped */
    size_t size;
    size_t at;      /* of the next line */
    size_t end;     /* where the line ends that search_data_previous takes next */
    int64_t count;  /* lines */
    int64_t before; /* the document behind the one that search_data_previous takes next */
    int64_t next;   /* the document that search_data_next takes next */
    bool updates;
    char *line; /* a copy of the line, taken apart */
    size_t line_size;
};

static int64_t count_lines(const char *text, size_t size)
{
    int64_t count = 0;
    const char *at = text, *end = text + size;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        count++;
        at++;
    }
    return count;
}

search_data_reader *search_data_open(const char *data, const char *file)
{
    char path[4096];
    struct stat status;
    search_data_reader *reader = calloc(1, sizeof *reader);
    snprintf(path, sizeof path, "%s/%s", data, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!reader || fd < 0 || fstat(fd, &status) != 0)
        goto failed;
    reader->size = (size_t)status.st_size;
    reader->text = mmap(NULL, reader->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (reader->text == MAP_FAILED)
        goto failed;
    close(fd);
    reader->end = reader->size;
    reader->count = reader->before = count_lines(reader->text, reader->size);
    reader->updates = strcmp(file, "updates.tsv") == 0;
    return reader;
failed:
    perror(path);
    if (fd >= 0)
        close(fd);
    free(reader);
    return NULL;
}

/* Takes a line apart at its tabs. */
static size_t split(char *line, char separator, char **fields, size_t max)
{
    size_t count = 0;
    while (line && count < max) {
        fields[count++] = line;
        line = strchr(line, separator);
        if (line)
            *line++ = '\0';
    }
    return count;
}

static int64_t number(const char *text)
{
    return strtoll(text, NULL, 10);
}

static bool copy_line(search_data_reader *reader, const char *from, size_t length)
{
    if (length + 1 > reader->line_size) {
        char *grown = realloc(reader->line, 2 * length + 1);
        if (!grown)
            return false;
        reader->line = grown;
        reader->line_size = 2 * length + 1;
    }
    memcpy(reader->line, from, length);
    reader->line[length] = '\0';
    return true;
}

static bool parse(search_data_reader *reader, const char *from, size_t length,
                  struct search_data_case *ret_case)
{
    char *fields[FIELDS_MAX];
    if (!copy_line(reader, from, length))
        return false;
    size_t wanted = reader->updates ? 8 : 7;
    if (split(reader->line, '\t', fields, FIELDS_MAX) != wanted) {
        fprintf(stderr, "search data: a line with other fields\n");
        return false;
    }
    *ret_case = (struct search_data_case){.subject = fields[wanted - 2], .words = fields[wanted - 1]};
    ret_case->contact = number(fields[wanted - 3]);
    ret_case->status = (int)number(fields[wanted - 4]);
    if (reader->updates) {
        snprintf(ret_case->kind, sizeof ret_case->kind, "%s", fields[0]);
        ret_case->document = number(fields[1]);
        ret_case->account = (int)number(fields[2]);
        ret_case->number = number(fields[3]);
    } else {
        ret_case->account = (int)number(fields[0]);
        ret_case->number = number(fields[1]);
        ret_case->update_time_us = number(fields[2]);
    }
    return true;
}

bool search_data_next(search_data_reader *reader, struct search_data_case *ret_case)
{
    const char *from = reader->text + reader->at;
    const char *end = reader->at < reader->size ? memchr(from, '\n', reader->size - reader->at) : NULL;
    if (!end || !parse(reader, from, (size_t)(end - from), ret_case))
        return false;
    if (!reader->updates)
        ret_case->document = reader->next++;
    reader->at += (size_t)(end - from) + 1;
    return true;
}

bool search_data_previous(search_data_reader *reader, struct search_data_case *ret_case)
{
    if (reader->end == 0)
        return false;
    size_t last = reader->end - 1; /* the newline */
    const char *before = memrchr(reader->text, '\n', last);
    size_t start = before ? (size_t)(before - reader->text) + 1 : 0;
    if (!parse(reader, reader->text + start, last - start, ret_case))
        return false;
    ret_case->document = --reader->before;
    reader->end = start;
    return true;
}

int64_t search_data_count(const search_data_reader *reader)
{
    return reader->count;
}

void search_data_close(search_data_reader *reader)
{
    if (!reader)
        return;
    munmap(reader->text, reader->size);
    free(reader->line);
    free(reader);
}

/* --- queries --- */

static bool parse_query(char *line, struct search_data_query *ret_query)
{
    char *fields[3], *words[WORDS_MAX];
    if (split(line, '\t', fields, 3) != 3)
        return false;
    snprintf(ret_query->name, sizeof ret_query->name, "%s", fields[0]);
    ret_query->account = (int)number(fields[1]);
    ret_query->word_count = split(fields[2], ' ', words, WORDS_MAX);
    ret_query->words = calloc(ret_query->word_count + 1, sizeof *ret_query->words);
    for (size_t i = 0; ret_query->words && i < ret_query->word_count; i++)
        ret_query->words[i] = strdup(words[i]);
    return ret_query->words != NULL;
}

struct search_data_query *search_data_queries(const char *data, size_t *ret_count)
{
    char path[4096], *line = NULL;
    size_t size = 0, count = 0, room = 0;
    ssize_t length;
    struct search_data_query *queries = NULL;
    snprintf(path, sizeof path, "%s/queries.tsv", data);
    FILE *file = fopen(path, "re");
    if (!file) {
        perror(path);
        return NULL;
    }
    while ((length = getline(&line, &size, file)) > 0) {
        if (count == room) {
            room = room ? 2 * room : 256;
            struct search_data_query *grown = reallocarray(queries, room, sizeof *queries);
            if (!grown)
                break;
            queries = grown;
        }
        line[strcspn(line, "\n")] = '\0';
        if (parse_query(line, &queries[count]))
            count++;
    }
    free(line);
    fclose(file);
    *ret_count = count;
    return queries;
}
