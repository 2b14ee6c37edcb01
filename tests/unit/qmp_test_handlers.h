/*
 * qmp_test_handlers.h: what the commands of qapi-test.json leave behind
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/* What commands noted, each followed by a space. The test makes it. */
extern GString *qmp_test_log;
