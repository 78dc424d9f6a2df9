"""What the data plane holds of track and trigger: kinds of things to do, and rows (see ``state``).

A *unit* is one operation's address-space configuration on one GPU, a *station* one chunk there, a *tile* one piece of
it. The tiles of a *group* are moved by one command; a *fire* is one move that a complete group triggers.
"""

from t3sim.compiled import record_type

# What the plane does.
(
    STORE,  # issue output tiles of a GEMM (tile, their end)
    SEND_TILE,  # store one in another GPU's memory (tile)
    STORED,  # an own tile is in memory (tile)
    CONTRIBUTE,  # take it as the contribution of this GPU (tile)
    COMPLETE_ALL,  # tiles of a list are complete from the start (place, their end)
    COMPLETE_TILE,  # a tile is complete in memory (tile)
    TILE_LANDED,  # a tile that arrived is in memory (incoming)
    COUNT,  # tell the tracker of updates (tile, updates)
    ADD,  # count them, or let them wait for an entry (tile, updates)
    NEXT_ENTRY,  # give an entry to those that wait (set)
    FIRED,  # all updates of a tile are counted (tile)
    SUM_NEXT,  # let the CUs that sum go on (unit)
    SUM_READ,  # a part of a copy of a tile is on them (tile, how-manieth of its reads)
    SUMMED,  # the sum is in memory (tile)
    TRIGGER,  # mark commands of a group ready (group, the first of its fires, their end)
    COMMAND_READY,  # a command may start (command or NONE, DMA engine)
    COMMAND_READ,  # the data of one are read (command)
    COMMAND_TAKEN,  # the link has taken them (command)
    BURST,  # ask memory for a tile or a group (what it leads to, tile or command, which copy)
) = range(160, 179)
# What Python is told of.
(
    TELL_FINISHED,  # all that a GPU keeps is complete (unit)
    TELL_CHUNK,  # all tiles of a chunk are that Python waits for (station)
    TELL_OVERCOUNTED,  # a tile got more updates than it expects (tile, how many)
    TELL_COUNTED,  # the tracker is told of updates, for the probe (tile, updates)
    TELL_FIRED,  # they are complete, for the probe (tile)
    TELL_TRACKED,  # the tracker has dealt with what it was told last, for the probe (tracker)
    TELL_TRIGGERED,  # a command is ready, for the probe (command)
    TELL_STARTED,  # its read is submitted, for the probe (command)
    TELL_READ,  # its data are read, for the probe (command)
    TELL_HANDED_OVER,  # they are queued at the network, for the probe (command)
    TELL_COMMAND_ENDED,  # the network has taken them, for the probe (command)
    TELL_TILE_CAME,  # a tile has arrived, in data mode (incoming)
    TELL_TILE_PUT,  # and was written (incoming, arrival, piece)
    TELL_TILE_STORED,  # an own tile was stored, in data mode (tile)
    TELL_TILE_SENT,  # an own tile is stored in another GPU's memory, in data mode (tile, message)
    TELL_GROUP_SENT,  # a group is sent, in data mode (command, message)
    TELL_COPY_READ,  # a copy of a tile was read, in data mode (tile, which copy)
    TELL_SUMMED,  # CUs have summed a tile, in data mode (tile)
) = range(192, 210)

UNIT = record_type(
    "controller",
    "tracker",
    "dma",
    "buffer",  # that stores leave through
    "read_cause",
    "write_cause",
    "store_cause",
    "wavefronts",  # updates by which a store counts
    "near_memory",
    "silent",  # whether nobody is talked to
    "started",  # when the first was sent or triggered, or NONE
    "kept_open",  # tiles of what it keeps that are not complete
    "sum_limit",  # bytes that CUs which sum keep in flight
    "sum_grain",  # of a read of theirs
    "sum_in_flight",
    "first_sum",  # tiles that are left to sum
    "last_sum",
)
STATION = record_type(
    "unit",
    "expected",  # updates that complete a tile
    "arrivals",
    "own",
    "stays",  # whether its tiles are in this GPU's memory at the end
    "open",  # tiles that are not complete, if Python is told when all are
    "told",
    "is_remote",  # whether stores go straight to another GPU's memory
    "first_piece",  # of the bytes of its tiles
    "first_place",  # of its tiles' rows, by piece
    "first_group",
    "groups",
    "first_fire",
    "fires",
    "first_region",  # where its tiles lie, by piece, for memories that ask
    "first_base",  # then of the buffers of its copies: the one from which complete tiles are read, and of each arrival
)
TILE = record_type(
    "station",
    "piece",
    "number",  # by which it is tracked
    "set",
    "group",
    "then",  # the tile of the operation that goes on with it, or NONE
    "after",  # the next tile of its set, in dispatch order
    "incomplete",  # whether it is to be counted, and has not been in full
    "entry",  # when it got its entry in the tracker, in the order of such, or 0
    "count",  # updates that its entry has counted; then reads of copies that are left
    "parts",  # in which each of its copies is read
    "asked",  # reads of copies so far
    "waits",  # counts that wait for an entry
    "waiting",  # and their updates
    "next",  # tile that waits for an entry of the same set; then to be summed
)
GROUP = record_type("first", "pieces", "incomplete", "nbytes", "wire_bytes")
FIRE = record_type("station", "template", "first_way", "spread")
COMMAND = record_type("fire", "group", "next")
DMA = record_type("outstanding", "latency", "in_flight", "ready", "first_ready", "last_ready")
TRACKER = record_type(
    "ways",
    "live",  # entries in use
    "peak",
    "allocated",  # entries so far
    "issued",
    "counted",
    "fired",
    "waited",
)
SET = record_type(
    "used",
    "oldest",  # no tile before this one is to be completed
    "first_waiting",
    "last_waiting",
)
