/** The images that a capture knows: those that the firmware listed, and those found by their headers. */
import { readFoundImages } from "../efi/find-image.ts";
import { type ImageDetails, readLoadedImages } from "../efi/images.ts";
import { readSystemTable } from "../efi/system-table.ts";
import { type Capture, pointPages } from "../snapshot/model.ts";
import { pageMemory } from "../snapshot/page-memory.ts";

/** Those of its first point with a list (later the firmware's memory is reused), and all found elsewhere; by ascending base. */
export async function capturedImages(capture: Pick<Capture, "efi" | "points">): Promise<readonly ImageDetails[]> {
  const listed = await listedImages(capture);
  const found = await foundImages(capture);
  return [...listed, ...found].sort((a, b) => (a.base < b.base ? -1 : 1));
}

async function listedImages(capture: Pick<Capture, "efi" | "points">): Promise<readonly ImageDetails[]> {
  if (capture.efi === undefined) return [];
  for (const point of capture.points) {
    const memory = pageMemory(pointPages(point));
    const table = await readSystemTable(memory, capture.efi.systemTable);
    const images = table === undefined ? [] : await readLoadedImages(memory, table);
    if (images.length > 0) return images;
  }
  return [];
}

/** Each once, as the first point with it shows its header; images of two points may have one base. */
async function foundImages(capture: Pick<Capture, "points">): Promise<readonly ImageDetails[]> {
  const images = new Map<string, ImageDetails>();
  for (const point of capture.points.filter(({ images }) => images.length > 0)) {
    for (const image of await readFoundImages(pageMemory(pointPages(point)), point.images)) {
      const key = `${image.base} ${image.size}`;
      if (!images.has(key)) images.set(key, image);
    }
  }
  return [...images.values()];
}
