#!/bin/sh
# The second half of the recipe, run as root inside the image after the Debian packages are installed and the
# overlay is laid over them. Both `cove image build` and the Dockerfile run it.
#
#   install.sh [WHEELS]    WHEELS: a directory with every wheel of python.txt, for a build without a network inside
set -eu
export LC_ALL=C.UTF-8 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
recipe=$(cd "$(dirname "$0")" && pwd)
wheels=${1:-}

# --- Python libraries -------------------------------------------------------------------------------------------
# No other package manager looks after this Python, so pip may.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED /usr/local/lib/python3*/EXTERNALLY-MANAGED
if [ -n "$wheels" ]; then
    # The wheel of pip runs as it is: pip installs itself.
    pip="$(echo "$wheels"/pip-*.whl)/pip"
    set -- --no-index --find-links "$wheels"
else
    pip=-mpip
    set --
fi
python3 "$pip" install "$@" --no-deps --require-hashes --no-compile --no-cache-dir --upgrade \
    --quiet -r "$recipe/python.txt"

site=$(python3 -c 'import matplotlib, pathlib; print(pathlib.Path(matplotlib.__file__).parents[1])')
case $(command -v python3) in
    /usr/bin/*) ;;
    # Another Python than Debian's finds Debian's python3-cairo (debian.txt) through this.
    *) echo /usr/lib/python3/dist-packages >"$site/debian.pth" ;;
esac

# Draw without a display, and take a glyph that the first font lacks from the next: CJK, then emoji. The theme of
# seaborn and those of matplotlib that set the family would undo it.
fonts='Noto Sans CJK SC, Symbola'
sed -i -e 's/^#* *backend:.*/backend: Agg/' -e "s/^# *font.family: .*/font.family: sans-serif, $fonts/" \
    "$site/matplotlib/mpl-data/matplotlibrc"
sed -i -e "s/^font.family: sans-serif$/&, $fonts/" "$site"/matplotlib/mpl-data/stylelib/*.mplstyle
sed -i -e 's/"font.family": \["sans-serif"\]/"font.family": ["sans-serif", "Noto Sans CJK SC", "Symbola"]/' \
    -e 's/font="sans-serif"/font=("sans-serif", "Noto Sans CJK SC", "Symbola")/' \
    "$site/seaborn/rcmod.py"
MPLCONFIGDIR=/tmp/matplotlib python3 - <<END
import matplotlib, seaborn
assert matplotlib.rcParams["font.family"] == ["sans-serif", *"$fonts".split(", ")], "matplotlibrc"
seaborn.set_theme()
assert len(matplotlib.rcParams["font.family"]) == 3, "seaborn's theme"
END

# --- Names and users --------------------------------------------------------------------------------------------
ln -sf python3 "$(dirname "$(command -v python3)")/python"
ln -sf /usr/bin/fdfind /usr/local/bin/fd
for name in 7z 7za 7zr; do ln -sf /usr/bin/7zz "/usr/local/bin/$name"; done
chmod 755 /usr/local/bin/*
useradd --uid 1000 --user-group --shell /bin/bash --create-home --key HOME_MODE=0755 user
# Nobody becomes root inside, so no program needs to be able to.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# --- Made once here, instead of in every container ----------------------------------------------------------------
for directory in /usr/lib/python3* /usr/local/lib/python3*; do
    python3 -m compileall -q -j 0 "$directory" >/dev/null || true  # some test files are wrong on purpose
done
fc-cache --force
setpriv --reuid=user --regid=user --clear-groups env HOME=/home/user python3 - <<'END'
# The font lists of matplotlib and of tabula's JVM: seconds of work at first use.
import matplotlib.font_manager
import tabula
from reportlab.pdfgen import canvas

page = canvas.Canvas("/tmp/page.pdf")
page.drawString(72, 700, "text")
page.save()
tabula.read_pdf("/tmp/page.pdf", pages=1, silent=True)
END

# --- What is of no use inside -------------------------------------------------------------------------------------
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap /var/lib/apt/lists/* \
    /var/cache/apt/* /var/cache/debconf/* /var/log/* /tmp/* /root/.cache /etc/hostname
: >/etc/machine-id
: >/etc/resolv.conf
