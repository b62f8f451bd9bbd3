-- Tells the metadata service of each message that was delivered: it wakes phones by push, and
-- IMAP sessions that were about to hibernate. Whatever goes wrong here is logged and forgotten:
-- a push may be late, a delivery may not.
--
-- It speaks the dict protocol on a connection and a socket of its own, and not through Dovecot's
-- mailbox attributes: any IMAP user could report deliveries there, and their client waits 30 seconds
-- for an answer, whatever is configured. What was written waits in the socket, and the service reads
-- it once it is back, answer or no answer.

-- Only where Debian's package lua-socket is: by default Lua looks in the working directory as well,
-- which is the mailbox, and in eight other places first.
package.path = ""
package.cpath = package.cpath:gsub("^%./[^;]*;?", ""):gsub(";%./[^;]*", "")
-- There is a Lua state per delivery. The library shall stay in the process when a state ends: to map
-- and link it anew was 5 % of a message's processor time.
local libraries = debug.getregistry()._CLIBS
if libraries then
  debug.setmetatable(libraries, nil)
end
-- A script that does not load would stop deliveries.
local has_sockets, unix = pcall(require, "socket.unix")

local SOCKET = "{{ notify_socket }}"
-- Seconds for each of two steps: to connect, which waits while the socket's backlog is full, and
-- to be answered.
local PATIENCE = 0.4
-- Seconds in which, after an answer that did not come, nobody waits for one: a message for fifty
-- recipients is fifty deliveries, one after the other. When that was stands in a file beside the
-- mailboxes, as each recipient has a Lua state of its own.
local RESPITE = 10
local LATE = ".metadata-is-late"

local function is_late(file)
  local note = io.open(file)
  local since = note and note:read("n")
  if note then
    note:close()
  end
  local age = os.time() - (since or 0)
  return age >= 0 and age < RESPITE
end

local function note_lateness(file)
  local note = io.open(file, "w")
  if note then
    note:write(os.time())
    note:close()
  end
end

local function open()
  local connection = unix.stream()
  connection:settimeout(PATIENCE)
  local ok, problem = connection:connect(SOCKET)
  if not ok then
    connection:close()
    error(problem, 0)
  end
  return connection
end

local function wait_for_answer(connection, late)
  if is_late(late) then
    return
  end
  local answer, problem = connection:receive("*l")
  if not answer then
    note_lateness(late)
    error("it does not answer: " .. problem, 0)
  end
  if answer:sub(1, 1) ~= "O" then
    error("it refuses", 0)
  end
end

local function tell(user, entry)
  local name = user.username
  if not has_sockets then
    error("install the package lua-socket", 0)
  end
  if name:find("%c") then
    error("a name with control characters", 0)
  end
  local connection = open()
  local ok, problem = connection:send(
    "H3\t2\t0\t\tmetadata\nB1\t" .. name .. "\nS1\tpriv/0/" .. entry .. "\t\nC1\n"
  )
  if ok then
    ok, problem = pcall(wait_for_answer, connection, user.home .. "/../" .. LATE)
  end
  connection:close()
  if not ok then
    error(problem, 0)
  end
end

function dovecot_lua_notify_begin_txn(user)
  return user
end

function dovecot_lua_notify_event_message_new(user, event)
  -- A user's own message, a copy for the other devices, is worth no push.
  local own = user.username == event.from_address
  local ok, problem = pcall(tell, user, own and "messageown" or "messagenew")
  if not ok then
    dovecot.i_warning("the metadata service may not know of a message: " .. tostring(problem))
  end
end

function dovecot_lua_notify_end_txn(user, success)
end
