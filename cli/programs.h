#ifndef CASEWORK_CLI_PROGRAMS_H
#define CASEWORK_CLI_PROGRAMS_H

/* Commands that are more than one call. argv[0] is the command's own word; each returns the exit status. */

#include "cli/session.h"

int program_migrate(struct session *session, int argc, char **argv);
int program_keys(struct session *session, int argc, char **argv);
int program_token(struct session *session, int argc, char **argv);
int program_import(struct session *session, int argc, char **argv);
int program_watch(struct session *session, int argc, char **argv);
int program_health(struct session *session, int argc, char **argv);
int program_report_activity(struct session *session, int argc, char **argv);
int program_report_volume(struct session *session, int argc, char **argv);
int program_report_engagements(struct session *session, int argc, char **argv);
int program_sla_check(struct session *session, int argc, char **argv);
int program_sla_rebuild(struct session *session, int argc, char **argv);
int program_sla_watch(struct session *session, int argc, char **argv);

#endif
