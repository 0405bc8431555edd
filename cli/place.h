#ifndef CASEWORK_CLI_PLACE_H
#define CASEWORK_CLI_PLACE_H

/* Where things are on this machine: beside the program, and where `casework up` keeps its data. */

#include <stdbool.h>
#include <stddef.h>

enum { PLACE_SIZE = 512 };

/* The directory of the running program. */
bool place_programs(char ret_path[PLACE_SIZE]);

/*
 * A file or folder that comes with casework ("db", "samples/conversations.jsonl"): in the source tree that
 * the program was built in, or in ../share/casework of an installed one. False if it is nowhere.
 */
bool place_find(const char *name, char ret_path[PLACE_SIZE]);

/* $XDG_DATA_HOME/casework, ~/.local/share/casework; for root /var/lib/casework, which PostgreSQL's user can
 * enter. */
bool place_data(char ret_path[PLACE_SIZE]);

/* Where `casework up` tells how to reach it when no --ready-file was named: ready.json in place_data. */
bool place_ready_file(char ret_path[PLACE_SIZE]);

#endif
