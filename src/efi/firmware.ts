/**
 * Which firmware this is, told from its loaded images alone, and where its variables are.
 *
 * A build is known by what its images are: name, SizeOfImage and entry point of all of them, of the DXE core the sections and the build path
 * too. A change of the code moves most of these; a setting (a PCD) may move one entry point by 4 bytes. So every image that a fingerprint
 * has and the machine lists must agree, and one fingerprint only may fit: a build that is almost a known one is unknown, and so is one
 * that has not loaded yet what tells two apart. Images beyond those of the fingerprint (an application, a driver from a card) say nothing.
 */
import { FINGERPRINTS, type FirmwareFingerprint } from "../../symbols/firmware.ts";
import type { FirmwareOffsets } from "./firmware-data.ts";
import type { ImageDetails } from "./images.ts";

export interface FirmwareIdentity {
  /** For people: distribution, package and version, files. */
  readonly name: string;
  /** Images that were compared. */
  readonly compared: number;
  /** Undefined when the fingerprint has none. */
  readonly offsets: FirmwareOffsets | undefined;
}

const DXE_CORE = "DxeCore";
/** With fewer images a fingerprint says too little. */
const MIN_COMPARED = 8;

/** The DXE core of edk2 among the images that the firmware lists; undefined when there is none, or when its header was not read. */
export function dxeCoreOf(images: readonly ImageDetails[]): ImageDetails | undefined {
  const cores = images.filter(
    ({ name, found, header }) => name === DXE_CORE && found === "list" && header !== undefined,
  );
  return cores.length === 1 ? cores[0] : undefined;
}

/** The firmware whose images these are; undefined for one that is not known. `images` are those of readLoadedImages. */
export function identifyFirmware(
  images: readonly ImageDetails[],
  fingerprints: readonly FirmwareFingerprint[] = FINGERPRINTS,
): FirmwareIdentity | undefined {
  const core = dxeCoreOf(images);
  if (core === undefined) return undefined;
  const fitting = fingerprints.flatMap((fingerprint) => {
    const compared = fits(fingerprint, core, images);
    return compared === undefined ? [] : [{ name: fingerprint.name, compared, offsets: fingerprint.offsets }];
  });
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** How many images agree; undefined when one does not, or when they are too few. */
function fits(
  fingerprint: FirmwareFingerprint,
  core: ImageDetails,
  images: readonly ImageDetails[],
): number | undefined {
  if (fingerprint.buildPath !== core.buildPath || fingerprint.coreSections !== sectionsText(core)) return undefined;
  const lines = new Set(fingerprint.images);
  const names = new Set(fingerprint.images.map((line) => line.slice(0, line.indexOf(" "))));
  let compared = 0;
  for (const image of images) {
    const listed = image.name !== undefined && names.has(image.name) && image.found === "list";
    if (!listed || image.header === undefined) continue;
    if (!lines.has(imageText(image))) return undefined;
    compared++;
  }
  return compared < MIN_COMPARED || !names.has(DXE_CORE) ? undefined : compared;
}

/** The fingerprint of the firmware whose images these are; undefined without a DXE core. For `symbols/firmware.ts`: see its README. */
export function fingerprintOf(
  name: string,
  images: readonly ImageDetails[],
  offsets: FirmwareOffsets | undefined,
): FirmwareFingerprint | undefined {
  const core = dxeCoreOf(images);
  if (core === undefined) return undefined;
  const own = images.filter(isOfFirmware).map(imageText);
  return {
    name,
    buildPath: core.buildPath,
    coreSections: sectionsText(core),
    images: [...new Set(own)].sort(),
    offsets,
  };
}

/** From a firmware volume and named by its build: neither an application nor a driver from elsewhere. */
function isOfFirmware({ fileGuid, found, header, nameFrom }: ImageDetails): boolean {
  return fileGuid !== undefined && found === "list" && header !== undefined && nameFrom === "build path";
}

/** `DxeCore 0x37000 0x72e4`: name, SizeOfImage, entry point. */
function imageText({ name, header }: ImageDetails): string {
  return `${name} 0x${header?.size.toString(16)} 0x${header?.entryPoint.toString(16)}`;
}

/** `.text+0x1000:0x18000 …`: offsets and sizes. */
function sectionsText({ sections }: ImageDetails): string {
  return sections.map(({ name, offset, size }) => `${name}+0x${offset.toString(16)}:0x${size.toString(16)}`).join(" ");
}
