import type { LoggerService } from '@nestjs/common';
import { Logger as NestPinoLogger, PinoLogger } from 'nestjs-pino';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger };

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Wherever an object with such a member is logged, what it holds does not get into the log. */
const REDACTED_PATHS = [
  'authorization',
  '*.authorization',
  'headers.authorization',
  '*.headers.authorization',
  'req.headers.authorization',
];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** The process, such as `api`. */
  readonly name: string;
  /** Standard output if left out. */
  readonly destination?: DestinationStream;
}

/** JSON lines with RFC 3339 times. */
export function createLogger({ level, name, destination }: LoggerOptions): Logger {
  const options = {
    level,
    name,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    serializers: { err: errorLine },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** The same log for what Nest itself has to say. That it mapped a route is for those who debug the wiring. */
export function nestLogger(logger: Logger): LoggerService {
  const nest = new NestPinoLogger(new PinoLogger({ pinoHttp: { logger } }), {});
  return {
    log: (message: unknown, ...rest: unknown[]) => nest.debug(message, ...rest),
    error: (message: unknown, ...rest: unknown[]) => nest.error(message, ...rest),
    warn: (message: unknown, ...rest: unknown[]) => nest.warn(message, ...rest),
    debug: (message: unknown, ...rest: unknown[]) => nest.debug(message, ...rest),
    verbose: (message: unknown, ...rest: unknown[]) => nest.verbose(message, ...rest),
  };
}

/**
 * What a log line says of an error. Only this: drivers hang whole clients on their errors, passwords included, and the
 * usual serializer would print them.
 */
function errorLine(error: unknown): object {
  if (!isErrorLike(error)) return { message: String(error) };
  const { name, message, stack, code, cause } = error;
  return {
    type: name,
    message,
    ...(typeof code === 'string' && { code }),
    ...(typeof stack === 'string' && { stack }),
    ...(isErrorLike(cause) && { cause: { type: cause.name, message: cause.message } }),
  };
}

interface ErrorLike {
  readonly name: string;
  readonly message: string;
  readonly stack?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
}

/** By shape: errors of another realm, such as a test's, are no instances of this one's Error. */
function isErrorLike(value: unknown): value is ErrorLike {
  return typeof value === 'object' && value !== null && 'message' in value && 'name' in value;
}
