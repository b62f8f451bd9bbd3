-- Tells the metadata service of each message that was delivered: it wakes phones by push, and
-- IMAP sessions that were about to hibernate. Whatever goes wrong here is logged and forgotten:
-- a push may be late, a delivery may not.
--
-- It speaks the dict protocol on a connection and a socket of its own, and not through Dovecot's
-- mailbox attributes: any IMAP user could report deliveries there, and their client waits 30 seconds
-- for an answer, whatever is configured. What is not answered is noted in a file, which the service
-- reads every few seconds: no push is lost where it is down, or is killed with the report in its hands.

-- Only where Debian's package lua-socket is: by default Lua looks in the working directory as well,
-- which is the mailbox, and in eight other places first.
package.path = ""
package.cpath = package.cpath:gsub("^%./[^;]*;?", ""):gsub(";%./[^;]*", "")
-- A script that does not load would stop deliveries.
local has_sockets, unix = pcall(require, "socket.unix")

local SOCKET = "{{ notify_socket }}"
-- Seconds for each of two steps: to connect, which waits while the socket's backlog is full, and
-- to be answered.
local PATIENCE = 0.4
-- The same for RESPITE seconds after an answer that did not come: a message for fifty recipients is
-- fifty deliveries, one after the other. When that was stands in a file beside the mailboxes, as
-- each recipient has a Lua state of its own.
local LITTLE_PATIENCE = 0.02
local RESPITE = 10
local LATE = "/../.metadata-is-late"
-- Addresses whose messages were not reported, a line each.
local NOTES = "/../.metadata-owes"

local function is_late(file)
  local note = io.open(file)
  local since = note and note:read("n")
  if note then
    note:close()
  end
  local age = os.time() - (since or 0)
  return age >= 0 and age < RESPITE
end

local function write(file, mode, text)
  local note = io.open(file, mode)
  if note then
    note:write(text)
    note:close()
  end
end

local function open(patience)
  local connection = unix.stream()
  connection:settimeout(patience)
  local ok, problem = connection:connect(SOCKET)
  if not ok then
    connection:close()
    error(problem, 0)
  end
  return connection
end

local function wait_for_answer(connection)
  local answer, problem = connection:receive("*l")
  if not answer then
    error("it does not answer: " .. problem, 0)
  end
  if answer:sub(1, 1) ~= "O" then
    error("it refuses", 0)
  end
end

local function tell(name, entry, patience)
  if not has_sockets then
    error("install the package lua-socket", 0)
  end
  local connection = open(patience)
  local ok, problem = connection:send(
    "H3\t2\t0\t\tmetadata\nB1\t" .. name .. "\nS1\tpriv/0/" .. entry .. "\t\nC1\n"
  )
  if ok then
    ok, problem = pcall(wait_for_answer, connection)
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
  local name = user.username
  if name:find("%c") then
    dovecot.i_warning("the metadata service is not told of a name with control characters")
    return
  end
  -- A user's own message, a copy for the other devices, is worth no push.
  local own = name == event.from_address
  local late = is_late(user.home .. LATE)
  local patience = late and LITTLE_PATIENCE or PATIENCE
  local ok, problem = pcall(tell, name, own and "messageown" or "messagenew", patience)
  if ok then
    return
  end
  if not own then
    write(user.home .. NOTES, "a", name .. "\n")
  end
  if not late then
    write(user.home .. LATE, "w", os.time())
    dovecot.i_warning("the metadata service may hear of messages late: " .. tostring(problem))
  end
end

function dovecot_lua_notify_end_txn(user, success)
end
