/* casework watch ACCOUNT --folder … or --case …: what is there, and what then comes, changes and goes. */

#include "casework/cases/v1/case_service.pb-c.h"
#include "cli/command.h"
#include "cli/field.h"
#include "cli/print.h"
#include "cli/watch.h"

#include <inttypes.h>
#include <stdio.h>

typedef Casework__Cases__V1__WatchCasesResponse watch_item;

#define CASES (&casework__cases__v1__case_service__descriptor)

/* How the words become a request; not in the list of commands, where `watch` stands once. */
static const struct command watch_command = {
    "watch",
    "",
    "show what is in a folder or a case, and what then comes, changes and goes; without flags, or with\n"
    "  --from-start, what happens in the whole account",
    TARGET_CASE,
    CASES,
    "WatchCases",
    COMMAND_IN_ACCOUNT,
    {{"folder", "folder", WORD_TEXT, "all, new, open, pending, resolved, closed, deleted, my-cases …", 0, 0},
     {"case", "case", WORD_CASE, "one case instead of a folder", 0, 0},
     {"agent", "agent", WORD_AGENT, "whose folder", 0, 0},
     {"owner", "owner", WORD_AGENT, "only this owner's", 0, 0},
     {"contact", "contact", WORD_CONTACT, "only this contact's", 0, 0},
     {"channel", "channel", WORD_CHANNEL, "only this channel's", 0, 0},
     {"label", "labels", WORD_TEXT, "only with this label, may be given again", 0, 0},
     {"classification", "classification", WORD_TEXT, "only with GROUP=VALUE", 0, 0},
     {"resume-token", "resume_token", WORD_TEXT, "go on where an earlier watch ended (see --json)", 0, 0}},
    .resource = "",
};

static void show_case(arena *memory, int64_t position, const char *mark,
                      const Casework__Cases__V1__Case *item)
{
    const char *status =
        field_enum_word(memory, &casework__cases__v1__case_status__descriptor, (int)item->status);
    printf("%8" PRId64 "  %s %-40s %-9s %-40s %s\n", position, mark, item->name, status ? status : "",
           item->owner, item->subject);
}

static void show_item(void *context, const struct session *session, arena *memory,
                      const ProtobufCMessage *message)
{
    (void)context;
    const watch_item *item = (const watch_item *)message;
    if (session->json) {
        print_json(stdout, message);
        return;
    }
    switch (item->item_case) {
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT:
        for (size_t i = 0; i < item->snapshot->n_cases; i++)
            show_case(memory, item->position, " ", item->snapshot->cases[i]);
        break;
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_ENTER:
        show_case(memory, item->position, "+", item->enter);
        break;
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_CHANGE:
        show_case(memory, item->position, "~", item->change);
        break;
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_LEAVE:
        printf("%8" PRId64 "  - %s\n", item->position, item->leave);
        break;
    default:
        break;
    }
}

int watch_cases(struct session *session, int argc, char **argv)
{
    return watch_run(session, &watch_command, argc, argv, show_item, NULL);
}
