/* The example connector, a program of its own: the whole loop, and no mail lost or doubled whenever it is
 * killed. */

#include "base/clock.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KIND_CUSTOMER = 1, KIND_AGENT, KIND_NOTE, KIND_TO, KIND_FROM };
enum { MAILS_MAX = 200, SENT = 2, FAILED = 3 };

#define WAIT_US (20 * CLOCK_SECOND)

static struct case_server server;
static char folder[32];

/* What was taken out of the outbox: by identifier, how often. */
static struct {
    char id[128], text[4096];
    int times;
} mails[MAILS_MAX];
static int mail_count;

static void setup(void)
{
    desk_start(&server);
    snprintf(folder, sizeof folder, "/tmp/casework-maildir-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    mail_count = 0;
}

static void teardown(void)
{
    case_server_stop(&server);
    process_remove_tree(folder);
}

TestSuite(maildir, .init = setup, .fini = teardown, .timeout = 180);

static process *start(const char *inject)
{
    char program[256], target[300], inbox[128], outbox[128], state[128], points[128], log[128];
    const char *bin = getenv("CASEWORK_BIN");
    snprintf(program, sizeof program, "%s/casework-maildir", bin ? bin : "build/test/bin");
    snprintf(target, sizeof target, "CASE_TARGET=%s", server.address);
    snprintf(inbox, sizeof inbox, "INBOX=%s/in", folder);
    snprintf(outbox, sizeof outbox, "OUTBOX=%s/out", folder);
    snprintf(state, sizeof state, "STATE_PATH=%s/state", folder);
    snprintf(points, sizeof points, "CASEWORK_INJECT=%s", inject);
    snprintf(log, sizeof log, "%s/log", folder);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = log,
        .settings = (const char *const[]){target, inbox, outbox, state, points, "POLL_INTERVAL=20ms",
                                          "CHANNEL=accounts/acme/channels/mail", NULL},
    };
    process *connector;
    error err;
    cr_assert(process_start(&options, &connector, &err), "%s", err.message);
    return connector;
}

static void stop(process *connector)
{
    process_stop(connector, SIGTERM, 10 * CLOCK_SECOND);
    process_free(connector);
}

static void make_inbox(void)
{
    char path[128];
    static const char *const parts[] = {"in", "in/tmp", "in/new", "in/cur"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, parts[i]);
        mkdir(path, 0700);
    }
}

/* A mail comes in, as a mail server writes it. */
static void post(const char *name, const char *text)
{
    char tmp[160], new[160];
    make_inbox();
    snprintf(tmp, sizeof tmp, "%s/in/tmp/%s", folder, name);
    snprintf(new, sizeof new, "%s/in/new/%s", folder, name);
    FILE *file = fopen(tmp, "we");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(rename(tmp, new), 0);
}

static int count_files(const char *part)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, part);
    DIR *directory = opendir(path);
    int count = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return count;
}

static void note_mail(const char *path)
{
    char text[4096] = "", id[128] = "";
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *line = strcasestr(text, "Message-Id: <");
    cr_assert_not_null(line, "%s", text);
    sscanf(line + strlen("Message-Id: <"), "%127[^>]", id);
    int i = 0;
    while (i < mail_count && strcmp(mails[i].id, id) != 0)
        i++;
    cr_assert_lt(i, MAILS_MAX);
    if (i == mail_count) {
        mail_count++;
        memcpy(mails[i].id, id, sizeof id);
        memcpy(mails[i].text, text, sizeof text);
        mails[i].times = 0;
    }
    mails[i].times++;
}

/* Takes mails out of the outbox and sends them on: they are gone afterwards. */
static void send_on(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/out/new", folder);
    DIR *directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        char file[400];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        note_mail(file);
        cr_assert_eq(unlink(file), 0);
    }
    if (directory)
        closedir(directory);
}

static void pause_ms(int ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static void await_mails(int count)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    for (send_on(); mail_count < count; send_on()) {
        cr_assert_lt(clock_monotonic_us(), until, "%d of %d mails", mail_count, count);
        pause_ms(20);
    }
}

static void await_files(const char *part, int count)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (count_files(part) != count) {
        cr_assert_lt(clock_monotonic_us(), until, "%d files in %s, not %d", count_files(part), part, count);
        pause_ms(20);
    }
}

static void await_messages(const char *case_name, int count)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (desk_case(&server, case_name)->message_count != count) {
        cr_assert_lt(clock_monotonic_us(), until);
        pause_ms(20);
    }
}

static void await_delivery(const char *message, int delivery)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while ((int)desk_get_message(&server, message)->delivery != delivery) {
        cr_assert_lt(clock_monotonic_us(), until);
        pause_ms(20);
    }
}

/* --- the loop ---------------------------------------------------------------------------------------------
 */

#define CASE_ONE "accounts/acme/cases/1"

static const char first_mail[] =
    "From: =?utf-8?B?SsO2cmc=?= <joerg@example.com>\r\n"
    "To: help@acme.example\r\n"
    "Subject: =?iso-8859-1?Q?Dr=FCcker?= kaputt\r\n"
    "Date: Sun, 1 Mar 2026 10:00:00 +0100\r\n"
    "Message-ID: <m1@example.com>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>no</p>\r\n"
    "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nRXIgZHJ1Y2t0IG5pY2h0OiDc\r\n"
    "--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment;"
    " filename=\"a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";

Test(maildir, the_whole_loop)
{
    post("1", first_mail);
    process *connector = start("");
    await_files("in/cur", 1);
    const Casework__Cases__V1__Case *opened = desk_case(&server, CASE_ONE);
    cr_assert_str_eq(opened->subject, "Dr\xc3\xbc"
                                      "cker kaputt");
    Casework__Cases__V1__Message *first = desk_get_message(&server, CASE_ONE "/messages/1");
    cr_assert_str_eq(first->body, "Er druckt nicht: \xc3\x9c");
    cr_assert_str_eq(first->external_id, "m1@example.com");
    cr_assert_eq(first->send_time->seconds, 1772355600);
    cr_assert_eq(first->n_attachments, 1);
    cr_assert_str_eq(first->attachments[0]->file_name, "a.png");
    cr_assert_str_eq(first->attachments[0]->uri, "mid:m1@example.com");

    const char *reply =
        desk_add(&server, "anna", CASE_ONE, KIND_AGENT, "Bitte neu starten: \xc3\xa4\n")->name;
    await_mails(1);
    cr_assert_not_null(strstr(mails[0].text, "From: help@acme.example"));
    cr_assert_not_null(strstr(mails[0].text, "To: joerg@example.com"));
    cr_assert_not_null(strstr(mails[0].text, "Subject: Re: "));
    cr_assert_not_null(strstr(mails[0].text, "Bitte neu starten: =E4"), "%s", mails[0].text);
    cr_assert_not_null(strstr(mails[0].text, "References: <casework.acme.1@acme.example>"));
    cr_assert_str_eq(mails[0].id, "casework.acme.1.2@acme.example");
    await_delivery(reply, SENT);
    cr_assert_str_eq(desk_get_message(&server, reply)->external_id, mails[0].id);

    desk_call(&server, "anna", DESK_CASES, "ForwardCase",
              desk_forward_case(&server, CASE_ONE, NULL, "lab@example.net", "please"));
    await_mails(2);
    cr_assert_not_null(strstr(mails[1].text, "To: lab@example.net"));
    post("2", "From: Lab <LAB@example.net>\nMessage-ID: <l1@example.net>\nSubject: Re: x\n"
              "In-Reply-To: <casework.acme.1.3@acme.example>\nAuto-Submitted: no\n\nNew toner\n");
    await_messages(CASE_ONE, 4);
    const Casework__Cases__V1__Message *answer = desk_get_message(&server, CASE_ONE "/messages/4");
    cr_assert_eq((int)answer->kind, KIND_FROM);
    cr_assert_str_eq(answer->third_party, "LAB@example.net");
    cr_assert_str_eq(answer->body, "New toner\n");

    /* Who merely knows the identifier is a customer like any other. */
    post("3", "From: eve@example.org\nMessage-ID: <e1@example.org>\nSubject: hi\n"
              "References: <x@y> <casework.acme.1.3@acme.example>\nDate: Fri, 1 Jan 2038 00:00:00 +0000\n"
              "Auto-Submitted: auto-replied\n\nhello\n");
    await_files("in/cur", 3);
    const Casework__Cases__V1__Message *eves = desk_get_message(&server, "accounts/acme/cases/2/messages/1");
    cr_assert_eq((int)eves->kind, KIND_CUSTOMER);
    cr_assert(eves->automatic);
    cr_assert_eq(eves->send_time->seconds, CASE_SERVER_START_US / CLOCK_SECOND, "no date in the future");

    post("4", "no mail at all\n");
    post("5", "From: help@acme.example\nMessage-ID: <loop@acme.example>\n\nround and round\n");
    post("6", "From: eve@example.org\nSubject: no identifier\n\nstill a mail\n");
    await_files("in/cur", 5);
    cr_assert_eq(count_files("in/.refused/new"), 1, "what is no mail is put aside");
    cr_assert_eq(count_files("in/new"), 0);
    cr_assert_eq(desk_case(&server, "accounts/acme/cases/2")->message_count, 2);
    stop(connector);
    cr_assert_eq(mail_count, 2);
}

Test(maildir, a_customer_without_an_address_is_told)
{
    Casework__Cases__V1__CreateCaseRequest create = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    create.parent = desk_text("accounts/acme");
    create.case_ = &record;
    record.channel = desk_text("accounts/acme/channels/mail");
    create.first_message = &message;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    message.body = desk_text("to nobody");
    desk_call(&server, "anna", DESK_CASES, "CreateCase", &create);
    process *connector = start("");
    await_delivery(CASE_ONE "/messages/1", FAILED);
    stop(connector);
    cr_assert_eq(count_files("out/new"), 0);
}

/* Two customers whose cases have become one: both have written there. */
Test(maildir, who_else_has_written_gets_a_copy)
{
    const char *jo = desk_receive(&server, "mail", "jo@example.com", "e1", "hello")->case_->name;
    const char *kay = desk_receive(&server, "mail", "kay@example.com", "e2", "hello")->case_->name;
    const char *lee = desk_receive(&server, "mail", "lee@example.com", "e3", "hello")->case_->name;
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    merge.target = desk_text(jo);
    merge.source = desk_text(kay);
    desk_call(&server, "anna", DESK_CASES, "MergeCases", &merge);
    merge.source = desk_text(lee);
    desk_call(&server, "anna", DESK_CASES, "MergeCases", &merge);
    desk_receive(&server, "mail", "kay@example.com", "e4", "and me");
    desk_receive(&server, "mail", "lee@example.com", "e5", "and me");
    process *connector = start("");
    desk_add(&server, "anna", jo, KIND_AGENT, "to all of you");
    await_mails(1);
    cr_expect_not_null(strstr(mails[0].text, "To: jo@example.com\n"), "%s", mails[0].text);
    const char *copies = strstr(mails[0].text, "\nCc: ");
    cr_assert_not_null(copies, "%s", mails[0].text);
    cr_expect_not_null(strstr(copies, "kay@example.com"));
    cr_expect_not_null(strstr(copies, "lee@example.com"));
    desk_call(&server, "anna", DESK_CASES, "ForwardCase",
              desk_forward_case(&server, jo, NULL, "lab@example.net", ""));
    await_mails(2);
    stop(connector);
    cr_expect_null(strstr(mails[1].text, "\nCc: "), "what goes to a third party goes to nobody else");
}

/* --- crashes ----------------------------------------------------------------------------------------------
 */

static void post_customer(int number)
{
    char name[32], text[256];
    snprintf(name, sizeof name, "%05d", number);
    snprintf(text, sizeof text,
             "From: jo@example.com\nMessage-ID: <c%d@example.com>\nSubject: x\n\nmail %d\n", number, number);
    post(name, text);
}

static void check_once(int posted, int replies)
{
    bool seen[MAILS_MAX] = {false};
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, CASE_ONE, 1);
    int customers = 0;
    for (size_t i = 0; i < list->n_messages; i++) {
        if ((int)list->messages[i]->kind != KIND_CUSTOMER)
            continue;
        int number = (int)strtol(list->messages[i]->body + strlen("mail "), NULL, 10);
        cr_assert_not(seen[number], "mail %d came twice", number);
        seen[number] = true;
        customers++;
    }
    cr_assert_eq(customers, posted);
    cr_assert_eq(mail_count, replies);
    for (int i = 0; i < mail_count; i++)
        cr_assert_eq(mails[i].times, 1, "%s went out %d times", mails[i].id, mails[i].times);
}

static void await_death(process *connector)
{
    int status = 0;
    cr_assert(process_wait(connector, clock_monotonic_us() + WAIT_US, &status), "the fault never happened");
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    process_free(connector);
}

Test(maildir, killed_at_every_step)
{
    static const char *const points[] = {"maildir.handed_in=kill@2", "maildir.written=kill@2",
                                         "maildir.on_its_way=kill@2", "maildir.moved=kill@2",
                                         "maildir.told=kill@2"};
    int posted = 0, replies = 0;
    post_customer(posted++);
    process *connector = start("");
    await_files("in/cur", 1);
    stop(connector);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        for (int k = 0; k < 3; k++) {
            post_customer(posted++);
            desk_add(&server, "anna", CASE_ONE, KIND_AGENT, "a reply");
            replies++;
        }
        await_death(start(points[i]));
        send_on(); /* what it has put there is taken at once */
        connector = start("");
        await_mails(replies);
        await_files("in/cur", posted);
        stop(connector);
        send_on();
        check_once(posted, replies);
    }
}

Test(maildir, killed_whenever)
{
    enum { ROUNDS = 12, EACH = 4 };
    unsigned seed = getenv("SEED") ? (unsigned)strtoul(getenv("SEED"), NULL, 10) : (unsigned)time(NULL);
    int posted = 0, replies = 0;
    fprintf(stderr, "SEED=%u\n", seed);
    post_customer(posted++);
    process *connector = start("");
    await_files("in/cur", 1);
    stop(connector);
    for (int round = 0; round < ROUNDS; round++) {
        connector = start("");
        for (int k = 0; k < EACH; k++) {
            post_customer(posted++);
            desk_add(&server, "anna", CASE_ONE, KIND_AGENT, "a reply");
            replies++;
            pause_ms((int)(rand_r(&seed) % 40));
            send_on();
        }
        process_signal(connector, SIGKILL);
        await_death(connector);
        send_on();
    }
    connector = start("");
    await_mails(replies);
    await_files("in/cur", posted);
    stop(connector);
    send_on();
    check_once(posted, replies);
}

Test(maildir, two_at_once_are_one_too_many)
{
    make_inbox();
    process *first = start("");
    post_customer(0);
    await_files("in/cur", 1);
    process *second = start("");
    int status = 0;
    cr_assert(process_wait(second, clock_monotonic_us() + WAIT_US, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    process_free(second);
    stop(first);
}
