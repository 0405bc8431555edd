/* base/log.h */

#include "base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, LINES = 5000 };

static FILE *captured;

/* Standard error goes to a file from here on. */
static void capture(void)
{
    captured = tmpfile();
    cr_assert_not_null(captured);
    cr_assert(dup2(fileno(captured), STDERR_FILENO) >= 0);
    log_init("test", LOG_LEVEL_INFO);
}

static json_t *read_line(void)
{
    static char line[16384];
    json_error_t wrong;
    if (!fgets(line, sizeof line, captured))
        return NULL;
    json_t *object = json_loads(line, 0, &wrong);
    cr_assert_not_null(object, "%s in %s", wrong.text, line);
    return object;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

TestSuite(log, .init = capture, .timeout = 60);

Test(log, a_line_is_an_object)
{
    log_debug("not this one");
    log_info("a \"quoted\"\nmessage", LOG_TEXT("rpc.method", "Grüße\\\t\x01"), LOG_NUMBER("low", INT64_MIN),
             LOG_NUMBER("zero", 0), LOG_NUMBER("n", -42));
    rewind(captured);
    json_t *line = read_line();
    cr_assert_str_eq(text_of(line, "msg"), "a \"quoted\"\nmessage");
    cr_assert_str_eq(text_of(line, "rpc.method"), "Grüße\\\t\x01");
    cr_assert_str_eq(text_of(line, "level"), "info");
    cr_assert_str_eq(text_of(line, "service"), "test");
    cr_assert_eq(strlen(text_of(line, "time")), strlen("2026-01-02T03:04:05.678901Z"));
    cr_assert_eq(json_integer_value(json_object_get(line, "low")), INT64_MIN);
    cr_assert_eq(json_integer_value(json_object_get(line, "zero")), 0);
    cr_assert_eq(json_integer_value(json_object_get(line, "n")), -42);
    json_decref(line);
    cr_assert_null(read_line());
}

Test(log, a_field_too_long_is_left_out)
{
    static char text[10000];
    memset(text, 'x', sizeof text - 1);
    log_info("long", LOG_TEXT("long", text), LOG_TEXT("short", "y"));
    rewind(captured);
    json_t *line = read_line();
    cr_assert_null(json_object_get(line, "long"));
    cr_assert_str_eq(text_of(line, "short"), "y");
    json_decref(line);
}

static void *write_lines(void *argument)
{
    for (int i = 0; i < LINES; i++)
        log_info("line", LOG_TEXT("thread", argument), LOG_NUMBER("i", i));
    return NULL;
}

Test(log, the_writer_loses_and_mixes_nothing)
{
    static const char *names[THREADS] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    int next[THREADS] = {0};
    int count = 0, last = 0;
    cr_assert(log_start_writer());
    cr_assert(log_start_writer());
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, write_lines, (void *)(uintptr_t)names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_error("last");
    log_flush();
    rewind(captured);
    json_t *line;
    for (; (line = read_line()); count++) {
        if (strcmp(text_of(line, "msg"), "last") == 0) { /* another thread's: its place is not promised */
            last++;
        } else {
            int thread = text_of(line, "thread")[0] - 'a';
            cr_assert_eq(json_integer_value(json_object_get(line, "i")), next[thread]++);
        }
        json_decref(line);
    }
    cr_assert_eq(last, 1);
    cr_assert_eq(count, THREADS * LINES + 1);
    log_flush();
}
