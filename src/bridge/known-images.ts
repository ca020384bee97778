/** The images that a capture under way knows, for naming who wrote without another look at the guest. */
import type { CaptureEvent } from "../capture/exit-boot-services.ts";
import { capturedImages } from "../diff/images.ts";
import type { Capture } from "../snapshot/model.ts";

type Images = Awaited<ReturnType<typeof capturedImages>>;

export class KnownImages {
  #images: Images = [];
  #efi: Capture["efi"];

  /** Those that are where they were when they were seen. None while nothing is known of them. */
  get images(): Images {
    return this.#images;
  }

  /** After the exit the memory of all but runtime images is anybody's (UEFI 2.10, 7.4.6): an address there says nothing of who it is. */
  follow(event: CaptureEvent): void {
    if (event.kind === "located") this.#efi = event.roots;
    if (event.kind !== "point") return;
    const { point } = event;
    if (point.kind === "after") this.#images = this.#images.filter(({ runtime }) => runtime);
    if (point.kind !== "before") return;
    // Out of the pages that the point has: it takes a few milliseconds, and the guest does not wait for it.
    void capturedImages({ efi: this.#efi, points: [point] }).then(
      (images) => {
        this.#images = images;
      },
      // A name is missing then, and nothing else.
      () => undefined,
    );
  }
}
