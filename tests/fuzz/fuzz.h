/*
 * fuzz.h: what libFuzzer calls
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Feed @size bytes of @data to the code under test; a fault of any kind is the finding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
