export { openEncoder } from "./edge.js";
export { Link } from "./link.js";
export { decode, encode, plain } from "./messages.js";
export { codecOf, fetchModel, fingerprintOf, Refused } from "./model.js";
export { joined, PayloadCodec, RangeEncoder } from "./payload.js";
export { fitPicture, fromRgba, onWhite, toRgba } from "./picture.js";
export { carried, planesWithin, pointWithin, runsOf } from "./plan.js";
export { sha256 } from "./sha256.js";
export { Ended, Failed, Stream } from "./stream.js";
