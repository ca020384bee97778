/** GUIDs with their names as the specification that defines them prints them. See README.md on adding more. */
export const GUIDS = {
  EFI_DEBUG_IMAGE_INFO_TABLE_GUID: "49152e77-1ada-4764-b7a2-7afefed95e8b",
} as const;
