// ReDoc's footer asks for its maker's picture on another host. No page of the console asks other hosts for anything,
// so pictures from elsewhere are left out before the browser sees them.
const setAttribute = Element.prototype.setAttribute;

Element.prototype.setAttribute = function (name, value) {
  const isForeignPicture =
    this.tagName === "IMG" && name === "src" && new URL(value, location.href).origin !== location.origin && !String(value).startsWith("data:");
  if (!isForeignPicture) setAttribute.call(this, name, value);
};
