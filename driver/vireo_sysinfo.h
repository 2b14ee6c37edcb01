/*
 * vireo_sysinfo.h: what SMBIOS and fw_cfg tell a guest by its XML
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_conf.h"

/**
 * vireoSysinfoAddArgs:
 *
 * Adds to @cmd what <sysinfo> and <smbios> of @def say; <smbios mode='host'> reads the host's
 * tables. Returns 0, or -1 with an error reported.
 */
int
vireoSysinfoAddArgs(virCommand *cmd,
                    const virDomainDef *def);

/**
 * vireoSysinfoValidate:
 *
 * Refuses what cannot be told to the guest of @def. Returns 0, or -1 with an error reported.
 */
int
vireoSysinfoValidate(const virDomainDef *def);
