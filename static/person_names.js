// Tells whether a file name may contain a person's name. docs/file-intake.md states the rule.

// Words of file names that are not names of people: formats, devices, body parts, sides, projections, languages' words
// for X-rays.
const COMMON_WORDS = new Set(
  `abdomen acetabulum ankle anterior ap arm axial baby bilateral bone bones broken calcaneus canon case child chest
  clavicle clinic closeup copy cr crop cropped dcm dsc detail dicom digital dr dx edited elbow export extremity femur
  fibula file final finger foot forearm fracture frontal fuji ge hand hip hospital humerus image images img impacted
  inferior inlet iphone jpeg jpg knee kodak lat lateral left leg lower lt medial metacarpal new no normal oblique open
  original outlet pa patella patient pelvis philips phone photo picture png portable post posterior pre preview radius
  radiograph radio rib ribs right rt samsung scan scaphoid screenshot series shoulder siemens skull spine standing
  sternum study superior supine test the thorax thumb tibia toe ulna untitled upper view views whatsapp whats app with without
  wrist xray x ray an and at by for from in of on or to distal proximal
  anteroposterior avulsion comminuted compound dislocation fig figure fractures fx gallery greenstick hairline html
  imaging jumbo large lightbox longitudinal pathological plateau radiographs rays rf shaft showing shows spiral stress
  transverse tuberosity malleolus tibial humeral femoral radial ulnar röntgen roentgen radiographie rx`.split(/\s+/),
);
const YEAR_OF_BIRTH = /^(?:19\d\d|20[0-2]\d)(?:\d{4})?$|^\d{4}(?:19\d\d|20[0-2]\d)$/;
// Letters and digits in turns, such as 3f9cab07: an identifier.
const CHECKSUM = /\p{L}\p{N}+\p{L}|\p{N}\p{L}+\p{N}/u;

/** Returns whether the name has two words that are not common, or one beside a date. */
export function looksLikeName(fileName) {
  const parts = fileName
    .normalize("NFC")
    .replace(/\.[A-Za-z0-9]{1,5}$/, "")
    .replace(/(\p{Ll})(\p{Lu})/gu, "$1 $2") // HansMeier
    .split(/[^\p{L}\p{M}\p{N}']+/u)
    .filter((part) => !CHECKSUM.test(part))
    .flatMap((part) => part.split(/(?<=\p{L})(?=\p{N})|(?<=\p{N})(?=\p{L})/u))
    .filter(Boolean);
  const words = parts.filter((part) => /^[\p{L}\p{M}']{2,}$/u.test(part) && !COMMON_WORDS.has(part.toLowerCase()));
  return words.length >= 2 || (words.length === 1 && parts.some((part) => YEAR_OF_BIRTH.test(part)));
}
