#ifndef CASEWORK_CASE_STORE_DIRECTORY_H
#define CASEWORK_CASE_STORE_DIRECTORY_H

/*
 * How accounts, agents, contacts, channels, and who and what has which address, are read. Private to the
 * store: case_store_read.c has the reads in its table and says what they have in common;
 * case_store_write_directory.c writes them.
 */

#include "case/case_store.h"

#include <stdbool.h>

extern const struct pg_statement store_read_accounts, store_read_agents, store_read_channels,
    store_read_contacts, store_read_channels_of_network, store_read_channel_addresses, store_read_addresses;

/* What a row does to its entry. */
bool store_load_account(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_agent(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_channel(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_contact(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_channel_of_network(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                   error *err);
bool store_load_channel_address(struct overlay *overlay, void *entry, const pg_result *result, int row,
                                error *err);
bool store_load_address(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

#endif
