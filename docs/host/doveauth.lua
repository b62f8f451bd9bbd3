-- Dovecot's passdb and userdb, for 2.3 and 2.4: each question goes to doveauth, over HTTP on its
-- unix socket. Only doveauth's own answer makes a user unknown. Any other answer, and no answer,
-- is a temporary failure: no client is told that a right password is wrong.
--
-- The connection is made here, not by Dovecot's HTTP client, which knows unix sockets from 2.4 on
-- only. Each auth worker has this file loaded, answers one question at a time, and keeps its
-- connection for the next one.

local unix = require("socket.unix") -- Debian's package lua-socket

local SOCKET = "/run/doveauth/lookups.socket"
-- Seconds that a question may take in all. Postfix and Dovecot's login processes wait longer.
local PATIENCE = 15

local function form(fields)
  local parts = {}
  for name, value in pairs(fields) do
    local encoded = value:gsub("[^%w]", function(octet)
      return string.format("%%%02X", octet:byte())
    end)
    parts[#parts + 1] = name .. "=" .. encoded
  end
  return table.concat(parts, "&")
end

-- Luasocket's functions return nil and the reason where they fail.
local function checked(value, reason)
  if value == nil then
    error("doveauth does not answer now: " .. tostring(reason), 0)
  end
  return value
end

local function answer(connection)
  local status = checked(connection:receive("*l")):match("^HTTP/1%.[01] (%d%d%d)")
  local length
  local closes = false
  repeat
    local line = checked(connection:receive("*l")):lower()
    length = line:match("^content%-length:%s*(%d+)%s*$") or length
    closes = closes or line:match("^connection:%s*close%s*$") ~= nil
  until line == ""
  if not status or not length then
    error("doveauth's answer is not HTTP", 0)
  end
  length = tonumber(length)
  -- To read nothing from a connection that was closed is an error to luasocket.
  return closes, tonumber(status), length == 0 and "" or checked(connection:receive(length))
end

local function connect()
  local connection = checked(unix())
  connection:settimeout(PATIENCE, "t")
  local ok, reason = connection:connect(SOCKET)
  if not ok then
    connection:close()
    checked(nil, reason)
  end
  return connection
end

local function exchange(connection, question)
  connection:settimeout(PATIENCE, "t")
  checked(connection:send(question))
  return answer(connection)
end

local kept

local function ask(method, path, fields)
  local body = fields and form(fields) or ""
  local question = table.concat({
    method .. " " .. path .. " HTTP/1.1",
    "Host: doveauth",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: " .. #body,
    "",
    body,
  }, "\r\n")
  local connection, before = kept or connect(), kept
  kept = nil
  local ok, closes, status, text = pcall(exchange, connection, question)
  if not ok and before and not closes:find("timeout", 1, true) then
    -- doveauth closes connections that are idle, or ends. To ask the same twice does no harm.
    connection:close()
    connection = connect()
    ok, closes, status, text = pcall(exchange, connection, question)
  end
  if ok and not closes then
    kept = connection
  else
    connection:close()
  end
  if not ok then
    error(closes, 0)
  end
  return status, text
end

-- The fields of an answer, nil where there is no such user; anything else is an error.
local function lookup(path, fields)
  local status, body = ask("POST", path, fields)
  if status == 404 then
    return nil
  end
  if status ~= 200 then
    error("doveauth does not answer now: HTTP status " .. status, 0)
  end
  local result = {}
  for name, value in body:gmatch("(%w+)=([^\n]*)\n") do
    result[name] = value
  end
  return result
end

function auth_password_verify(request, password)
  local ok, found = pcall(lookup, "/passdb", {
    username = request.user,
    password = password,
    remote = request.remote_ip or request.rip or "",
  })
  if not ok then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, tostring(found)
  end
  if not found then
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, ""
  end
  local hash = found.password
  if hash:sub(1, 1) ~= "{" then
    -- Without a scheme Dovecot would take it for the password itself.
    hash = "{SHA512-CRYPT}" .. hash
  end
  local verified = request:password_verify(hash, password)
  if verified == 0 then
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, ""
  elseif verified ~= 1 then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "the stored hash cannot be read"
  end
  return dovecot.auth.PASSDB_RESULT_OK, {}
end

function auth_userdb_lookup(request)
  local ok, found = pcall(lookup, "/userdb", { username = request.user })
  if not ok then
    return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, tostring(found)
  end
  if not found then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, ""
  end
  return dovecot.auth.USERDB_RESULT_OK, { home = found.home, uid = found.uid, gid = found.gid }
end

function auth_userdb_iterate()
  local status, body = ask("GET", "/users")
  if status ~= 200 then
    error("doveauth does not answer now: HTTP status " .. status, 0)
  end
  local names = {}
  for name in body:gmatch("[^\n]+") do
    names[#names + 1] = name
  end
  return names
end
