/* base/metrics.h */

#include "base/metrics.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void expect_line(const bytes *text, const char *line)
{
    cr_assert_not_null(strstr(bytes_text(text), line), "%s not in\n%s", line, bytes_text(text));
}

Test(metrics, text)
{
    bytes text;
    bytes_init(&text, 1 << 20);
    metrics_counter *ok = metrics_counter_get("calls_total", "Calls.", "code=\"OK\"");
    metrics_gauge *gauge = metrics_gauge_get("waiting", "Waiting.", "");
    metrics_histogram *h = metrics_histogram_get("took_seconds", "Time.", "m=\"x\"");
    metrics_add(metrics_counter_get("calls_total", "Calls.", "code=\"ABORTED\""), 1);
    cr_assert_eq(ok, metrics_counter_get("calls_total", "Calls.", "code=\"OK\""));
    metrics_add(ok, 2);
    metrics_add(ok, 3);
    metrics_set(gauge, 7);
    metrics_gauge_add(gauge, -2);
    metrics_observe(h, 100);
    metrics_observe(h, 101);
    metrics_observe(h, 200000000);
    cr_assert(metrics_write(&text));
    expect_line(&text, "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{code=\"OK\"} 5\n"
                       "calls_total{code=\"ABORTED\"} 1\n");
    expect_line(&text, "# TYPE waiting gauge\nwaiting 5\n");
    expect_line(
        &text,
        "took_seconds_bucket{m=\"x\",le=\"0.0001\"} 1\ntook_seconds_bucket{m=\"x\",le=\"0.00025\"} 2\n");
    expect_line(&text,
                "took_seconds_bucket{m=\"x\",le=\"100\"} 2\ntook_seconds_bucket{m=\"x\",le=\"+Inf\"} 3\n"
                "took_seconds_sum{m=\"x\"} 200.000201\ntook_seconds_count{m=\"x\"} 3\n");
    cr_assert_eq(metrics_counter_value(ok), 5);
    bytes_release(&text);
}

/* The answer to one request, as text. */
static void fetch(uint16_t port, const char *request, char *answer, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    size_t length = 0;
    ssize_t more;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(s, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(write(s, request, strlen(request)), (ssize_t)strlen(request));
    while ((more = read(s, answer + length, size - 1 - length)) > 0)
        length += (size_t)more;
    answer[length] = '\0';
    close(s);
}

Test(metrics, over_http, .timeout = 30)
{
    char answer[65536];
    metrics_server *server;
    uint16_t port;
    error err;
    metrics_add(metrics_counter_get("seen_total", "Seen.", ""), 9);
    cr_assert(metrics_server_new("127.0.0.1", 0, &server, &port, &err), "%s", err.message);
    fetch(port, "GET /metrics HTTP/1.0\r\n\r\n", answer, sizeof answer);
    cr_assert_not_null(strstr(answer, " 200 "));
    cr_assert_not_null(strstr(answer, "text/plain; version=0.0.4"));
    cr_assert_not_null(strstr(answer, "seen_total 9\n"));
    fetch(port, "GET / HTTP/1.0\r\n\r\n", answer, sizeof answer);
    cr_assert_not_null(strstr(answer, " 404 "));
    metrics_server_free(server);
    metrics_server_free(NULL);
}
